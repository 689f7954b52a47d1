"""A certificate that is renewed while its server serves. The server looks every ten seconds, so this is begun first and judged
last: the rest of the suite runs meanwhile."""
import shutil
import ssl
import time

from authority import AUTHORITY
from client import echo, listening
from programs import wait_until
from slackwater import Slackwater

LOOKS = 11  # seconds until a change has been seen


def shown(server):
    """The certificate that a newcomer is shown."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", server.port)))


def warnings(server):
    return [line for line in server.log if line.startswith("[WARNING]")]


class Renewal:
    """What was seen of it."""

    def __init__(self, folder):
        first, second = (AUTHORITY.certify("ec", name) for name in ("first", "second"))
        chain, key = folder / "fullchain.pem", folder / "privkey.pem"

        def install(certificate, private):
            for source, target in ((certificate, chain), (private, key)):
                shutil.copy(source, folder / "new")
                (folder / "new").rename(target)
        install(first.chain, first.key)
        flags = ("--notify-interval", "0", "--ssl-certfile", str(chain), "--ssl-keyfile", str(key))
        with Slackwater(*flags) as server, listening(server, ssl=AUTHORITY.context()) as (ws, _):
            assert shown(server) == first.fingerprint
            # A pair that does not fit, as there is while one of two files has been replaced.
            install(second.chain, first.key)
            wait_until(lambda: warnings(server), "a warning", LOOKS)
            self.shows_old_one = shown(server) == first.fingerprint
            install(second.chain, second.key)
            began = time.monotonic()
            wait_until(lambda: shown(server) == second.fingerprint, "the new certificate", LOOKS + 1)
            self.seconds = time.monotonic() - began
            self.old_one_lives = echo(ws, "still here")
            self.warnings = warnings(server)
