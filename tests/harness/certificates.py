"""Certificates and who signs them, by the openssl command."""

import subprocess


class Authority:
    """A certificate authority: `certificate` is what those who trust it are given."""

    def __init__(self, directory):
        directory.mkdir()
        self._directory, self._issued = directory, 0
        self.certificate, self._key = self._make("/CN=Authority", "basicConstraints=critical,CA:TRUE")

    def issue(self, host):
        """A certificate for a host's name: the files of it and its key."""
        return self._make("/CN=member", "basicConstraints=critical,CA:FALSE",
                          "-addext", f"subjectAltName=DNS:{host}",
                          "-CA", self.certificate, "-CAkey", self._key)

    def _make(self, subject, extension, *signed_by):
        self._issued += 1
        certificate, key = (self._directory / f"{self._issued}.{kind}" for kind in ("cert", "key"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "2", "-subj", subject, "-addext", extension, *signed_by,
             "-out", certificate, "-keyout", key], check=True, capture_output=True)
        return certificate, key
