"""An authority of the tests' own: certifies servers on this machine by OpenSSL, and lasts a day.

usage: authority.py FOLDER     makes one there, with a certificate for each kind of key
"""
import os
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from one_thread import trusting

KINDS = {"ec": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "rsa": ("rsa:2048",)}
NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1\n"


@dataclass
class Identity:
    """What a server shows, and its key."""
    chain: Path
    key: Path

    @property
    def flags(self):
        return "--ssl-certfile", str(self.chain), "--ssl-keyfile", str(self.key)

    @property
    def fingerprint(self):
        """The certificate as a client sees it: DER."""
        return ssl.PEM_cert_to_DER_cert(self.chain.read_text())


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


class Authority:
    """What is in its folder: `ca.pem`, and by kind `ec.pem` with `ec.key`."""

    def __init__(self, folder):
        self.folder = Path(folder).absolute()
        self.certificate = self.folder / "ca.pem"

    @classmethod
    def found(cls, folder):
        authority = cls(folder)
        authority.folder.mkdir(parents=True)
        (authority.folder / "names").write_text(NAMES)
        openssl(folder, "req", "-x509", "-newkey", *KINDS["ec"], "-nodes", "-subj", "/CN=The tests' authority", "-days", "1",
                "-keyout", "ca.key", "-out", "ca.pem")
        for kind in KINDS:
            authority.certify(kind)
        return authority

    def certify(self, kind, name=None):
        """A new certificate for this machine, with a key of this kind."""
        identity = self.identity(name or kind)
        openssl(self.folder, "req", "-newkey", *KINDS[kind], "-nodes", "-subj", "/CN=localhost", "-keyout", identity.key,
                "-out", f"{name or kind}.request")
        openssl(self.folder, "x509", "-req", "-in", f"{name or kind}.request", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-days", "1", "-extfile", "names", "-out", identity.chain)
        return identity

    def identity(self, name):
        return Identity(self.folder / f"{name}.pem", self.folder / f"{name}.key")

    def context(self, **options):
        """What a client says that believes in nobody else; the options are attributes of `SSLContext`."""
        context = trusting(self.certificate)
        for name, value in options.items():
            setattr(context, name, value)
        return context


AUTHORITY = Authority(os.environ.get("TLS_AUTHORITY", "."))

if __name__ == "__main__":
    Authority.found(sys.argv[1])
