"""Certificates for the engines, by OpenSSL: of an authority of the test's own, and of one that nobody trusts.

Knows how they are made; nothing of who is shown them.
"""
import subprocess


class Papers:
    """An authority, and what it has signed. Each is a certificate `NAME.pem` with its key `NAME.key`, in one folder."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("ca", "stranger"):
            self._openssl("req", "-x509", *self._new(name), "-out", f"{name}.pem", "-days", "2")
        self._sign("engine", "IP:127.0.0.1,DNS:localhost")
        self._sign("other", "DNS:other.test")
        self._sign("client", "DNS:machine.test")

    def path(self, name):
        return str(self.folder / name)

    def engine_settings(self, port, auth_clients, name="engine"):
        """By which a Redis listens for TLS on this port, too. It demands certificates of its clients unless told otherwise."""
        return ("--tls-port", str(port), "--tls-cert-file", self.path(f"{name}.pem"), "--tls-key-file", self.path(f"{name}.key"),
                "--tls-ca-cert-file", self.path("ca.pem"), "--tls-auth-clients", auth_clients)

    def client_flags(self, authority="ca"):
        """By which a machine trusts this authority."""
        return "--engine-cacert", self.path(f"{authority}.pem")

    def client_identity(self):
        """By which a machine shows a certificate."""
        return "--engine-cert", self.path("client.pem"), "--engine-key", self.path("client.key")

    def _new(self, name):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-subj", f"/CN={name}")

    def _sign(self, name, names):
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={names}\n")
        self._openssl("req", "-new", *self._new(name), "-out", f"{name}.csr")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                      "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)
