"""Members over TLS, whose certificates are looked at."""

import pytest
from harness.certificates import Authority
from harness.client import fetch
from harness.engine import Engine
from harness.farms import served
from harness.waiting import free_port


@pytest.mark.parametrize("method, body", [("GET", None), ("POST", b"once")])
def test_wrong_certificates_are_refused(httpd, backends, directory, balancer, method, body):
    """Virtual hosts play the members. The first one's certificate is right, the second one's is of
    an authority that nobody trusts, the third one's for another host."""
    members = backends(3)
    ours, theirs = Authority(directory / "ours"), Authority(directory / "theirs")
    shown = [ours.issue("localhost"), theirs.issue("localhost"), ours.issue("elsewhere.example")]
    ports = [free_port() for _ in shown]
    server = httpd("event", balancer=balancer, modules=["ssl", "socache_shmcb"], conf=f"""
        SSLSessionCache "shmcb:tls(65536)"
        SSLProxyEngine On
        SSLProxyVerify require
        SSLProxyCACertificateFile "{ours.certificate}"
    """ + "".join(f"""
        Listen 127.0.0.1:{port}
        <VirtualHost 127.0.0.1:{port}>
          SSLEngine On
          SSLCertificateFile "{certificate}"
          SSLCertificateKeyFile "{key}"
          ProxyPass "/" "{url}/"
        </VirtualHost>
    """ for port, (certificate, key), url in zip(ports, shown, members.urls))
                   + served([f"https://localhost:{port}" for port in ports],
                            settings="lbmethod=roundrobin", each="retry=600"))
    # Debian updates OpenSSL without mod_ssl; the third certificate, told at the start and when used.
    server.expect(r"AH01882|AH01909|AH02411|AH02039|AH00898|AH01084|AH01097|ATH0110")
    answers = [fetch(server.port, "/farm/x", method=method, body=body) for _ in range(6)]
    assert [(answer.status, answer.member) for answer in answers] == [(200, 0)] * 6
    assert members.requests() == [6, 0, 0]
    assert Engine(server).column("usable") == [True, False, False]
