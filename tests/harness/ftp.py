"""An FTP server, as far as mod_proxy_ftp asks one: logs anybody in and sends one file."""

import socket
import socketserver
import threading

# What a command is answered with when there is nothing to it.
_SAID = {"USER": "331 Password", "PASS": "230 Logged in", "CWD": "250 There", "TYPE": "200 Set",
         "MDTM": "213 20260101000000", "QUIT": "221 Bye"}


class Ftp:
    """Has `who.txt` in every directory, which says `name`."""

    def __init__(self, name):
        self.name, self.sent = name, 0
        server = self

        class Session(socketserver.StreamRequestHandler):
            def say(self, line):
                self.wfile.write(line.encode() + b"\r\n")

            def handle(self):
                self.say("220 Ready")
                with socket.create_server(("127.0.0.1", 0)) as data:
                    for line in self.rfile:
                        command, _, argument = line.decode().strip().partition(" ")
                        if command == "EPSV":
                            self.say(f"229 Passive (|||{data.getsockname()[1]}|)")
                        elif command == "RETR" and argument == "who.txt":
                            self.say("150 Sending")
                            with data.accept()[0] as connection:
                                # Counted before its client can know.
                                server.sent += 1
                                connection.sendall(server.name.encode())
                            self.say("226 Sent")
                        elif command == "SIZE" and argument == "who.txt":
                            self.say(f"213 {len(server.name)}")
                        elif command in ("RETR", "SIZE") or argument.endswith(".txt"):
                            self.say("550 No such thing")
                        else:
                            self.say(_SAID.get(command, "502 Not implemented"))

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Session)
        self.url = f"ftp://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True,
                         kwargs={"poll_interval": 0.05}).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
