"""httpd in one process (`-X`), whose end is its children's end as well."""

import os
import shutil
import subprocess

from harness.client import Client
from harness.httpd import Httpd
from harness.paths import APACHE


class Alone(Httpd):
    """One process serves; with prefork, one connection at a time."""

    # What runs it.
    tool = ()

    def _spawn(self):
        if os.geteuid() == 0:
            # What a tool writes is written by a process that is no longer root.
            shutil.chown(self.directory, "www-data", "www-data")
        command = [*self.tool, APACHE, "-f", str(self.write_conf()), "-X"]
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr,
                start_new_session=True,
            )

    def _up(self, before):
        # With -X, httpd does not log that it is up.
        if self.process.poll() is not None:
            raise AssertionError(f"httpd left with {self.process.returncode}:\n{self.messages()}")
        with Client(self.port) as probe:
            try:
                return probe.open()
            except ConnectionRefusedError:
                return False
