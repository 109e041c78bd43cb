"""nginx and HAProxy as Debian has them, in front of the same back ends; and nginx as these."""

import os
import signal
import subprocess

from harness.client import fetch
from harness.waiting import free_port, wait_until

NGINX, HAPROXY = "/usr/sbin/nginx", "/usr/sbin/haproxy"

_NGINX = """\
daemon off; worker_processes 2; pid {place}/nginx.pid; error_log {place}/error.log warn;
{user}
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/fcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  keepalive_requests 1000000;
  upstream farm {{ zone farm 2m; {method} {servers} keepalive {kept}; }}
  server {{
    listen 127.0.0.1:{port};
    location /farm/ {{
      proxy_pass http://farm/; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_next_upstream error;
    }}
  }}
}}
"""

_MEMBERS = """\
daemon off; master_process off; pid {place}/members.pid; error_log {place}/members.log warn;
events {{ worker_connections 16000; }}
http {{
  access_log off; keepalive_timeout 3600; keepalive_requests 1000000000;
  server {{
    {listen}
    location / {{ return 200 "answer\\n"; }}
  }}
}}
"""

_HAPROXY = """\
global
  nbthread 2
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend all
  bind 127.0.0.1:{port}
  default_backend farm
backend farm
  balance {method}
{servers}
"""


class Peer:
    """A process that serves `/farm/` on its ports."""

    def __init__(self, command, *ports):
        self.port, self.ports = ports[0], ports
        self._process = subprocess.Popen(command, start_new_session=True,
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        wait_until(self._serves, what=f"{command[0]} up")

    def _serves(self):
        assert self._process.poll() is None, f"it left with {self._process.returncode}"
        try:
            return fetch(self.port, "/farm/x").status
        except ConnectionRefusedError:
            return False

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)


def _lines(each, ports):
    return [each] * len(ports) if isinstance(each, str) else each


def nginx(place, ports, method, each):
    """`method` is an upstream's directive with its semicolon, `each` stands on every server's, or is
    one for each."""
    port = free_port()
    servers = " ".join(f"server 127.0.0.1:{member} {further};"
                       for member, further in zip(ports, _lines(each, ports), strict=True))
    user = "user root;" if os.geteuid() == 0 else ""
    conf = place / "nginx.conf"
    conf.write_text(_NGINX.format(place=place, port=port, method=method, servers=servers,
                                  kept=max(256, 2 * len(ports)), user=user))
    return Peer(_run_nginx(place, conf), port)


class Members(Peer):
    """Back ends as `Backends`, that all answer at once and count nothing: one process, whose own part
    in a request grows no further with the number of connections than the kernel makes it."""

    def __init__(self, place, count):
        ports = set()
        while len(ports) < count:
            ports.add(free_port())
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]
        conf = place / "members.conf"
        listen = " ".join(f"listen 127.0.0.1:{port};" for port in ports)
        conf.write_text(_MEMBERS.format(place=place, listen=listen))
        super().__init__(_run_nginx(place, conf), *ports)


def _run_nginx(place, conf):
    return [NGINX, "-e", f"{place}/error.log", "-p", str(place), "-c", str(conf)]


def haproxy(place, ports, method, each):
    """`method` is what `balance` says, `each` stands on every server's line, or is one for each."""
    port = free_port()
    servers = "\n".join(f"  server s{member} 127.0.0.1:{member} {further}"
                        for member, further in zip(ports, _lines(each, ports), strict=True))
    conf = place / "haproxy.cfg"
    conf.write_text(_HAPROXY.format(port=port, method=method, servers=servers))
    return Peer([HAPROXY, "-f", str(conf), "-db"], port)
