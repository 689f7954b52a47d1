"""The guide's way to the internet, followed to the letter: from nothing to tokens over TLS, and a certificate that is renewed. Only
names and ports are led to this machine, and certbot is a program of the test's own, with an authority of its own."""
import contextlib
import os
import re
import ssl
import subprocess
from urllib.request import Request, urlopen

import pytest
from websockets.exceptions import InvalidStatus

from client import connect, hear, next_message
from neighbours import DOCS
from one_thread import trusting
from programs import free_port, wait_until
from slackwater import PATIENCE
from tokens import WAYS

NAME, APP = "events.example.com", "https://app.example.com"
SECTION = (DOCS / "internet.md").read_text()
[PAGE] = re.findall(r"^```js\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
DONE = "that was all"
# As certbot does with each certificate that it gets, the first one and later ones.
CERTBOT = """#!/bin/sh
[ "$1 $2 $3 $4 $5" = "certonly --standalone -d {name} --deploy-hook" ] && RENEWED_LINEAGE={lineage} sh -c "$6"
"""

def commands():
    """What is typed, line by line, and what is to be seen of it."""
    shown = "\n".join(re.findall(r"^```console\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL))
    for typed in re.split(r"^\$ ", shown, flags=re.MULTILINE)[1:]:
        command, newline, rest = typed.partition("\n")
        if command.endswith("<<EOF"):
            document, end, rest = rest.partition("\nEOF\n")
            command += newline + document + end
        yield command, rest.strip()


def certify(folder):
    """Makes another certificate, with its key; the path of the authority that is behind all of them."""
    folder.mkdir(exist_ok=True)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    if not (folder / "ca.pem").exists():
        openssl("req", "-x509", *key, "-subj", "/CN=The test's authority", "-days", "1", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *key, "-subj", f"/CN={NAME}", "-keyout", "privkey.pem", "-out", "request.pem")
    (folder / "names").write_text(f"subjectAltName=DNS:{NAME}\n")
    openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "1", "-extfile", "names",
            "-out", "fullchain.pem")
    return folder / "ca.pem"


def executable(path, text):
    path.write_text(text)
    path.chmod(0o755)


@contextlib.contextmanager
def typed(folder, port, admin_port, authority):
    """Types all of it into one shell. What was seen of each command, and the token; the server goes on meanwhile."""
    for name in ("bin", "home"):
        (folder / name).mkdir()
    (folder / "bin" / "slackwater").symlink_to(os.environ["SLACKWATER_BIN"])
    executable(folder / "bin" / "sudo", '#!/bin/sh\n[ "$1" = sysctl ] || exec "$@"\n')
    executable(folder / "bin" / "certbot", CERTBOT.format(name=NAME, lineage=authority.parent))
    (folder / "home" / ".curlrc").write_text(
        f'connect-to = "{NAME}:443:127.0.0.1:{port}"\nconnect-to = "localhost:9000:127.0.0.1:{admin_port}"\n'
        f'cacert = "{authority}"\nnoproxy = "*"\nsilent\nmax-time = {PATIENCE}\n')
    env = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "CURL_HOME": str(folder / "home")}
    # Whoever types waits until the server serves, and ends it in the end.
    wait = f"trap 'kill $!; wait' EXIT; until curl -so /dev/null https://{NAME}/healthz; do kill -0 $!; sleep 0.05; done\n"
    script = "".join(f"{command}\n{wait if command.endswith('&') else ''}echo '{DONE}'\n" for command, _ in commands())
    (folder / "etc" / "sysctl.d").mkdir(parents=True)
    script = script.replace(" /etc/", f" {folder}/etc/").replace("=/etc/", f"={folder}/etc/")
    for shown, taken in [("PORT=443\n", f"PORT={port}\n"), ("ADMIN=127.0.0.1:9000\n", f"ADMIN=127.0.0.1:{admin_port}\n")]:
        assert script.count(shown) == 1
        script = script.replace(shown, taken)
    script += f"echo $token\necho '{DONE}'\nread -r _\n"
    (folder / "typed").write_text(f"set -euo pipefail\n{script}")
    with (folder / "log").open("w") as log, (folder / "seen").open("w") as seen:
        shell = subprocess.Popen(["bash", "typed"], cwd=folder, env=env, stdin=subprocess.PIPE, stdout=seen, stderr=log)

    def told():
        return (folder / "seen").read_text().split(f"{DONE}\n")
    try:
        wanted = script.count(DONE)
        wait_until(lambda: len(told()) > wanted or shell.poll() is not None, told, 3 * PATIENCE)
        assert len(told()) > wanted, f"{told()}\n{(folder / 'log').read_text()}"
        yield [lines.strip() for lines in told()]
    finally:
        shell.terminate()
        shell.wait(PATIENCE)


def test_the_guide_leads_from_nothing_to_tokens_over_tls_and_through_a_renewal(tmp_path):
    port, admin_port = free_port(), free_port()
    authority = certify(tmp_path / "lineage")
    trusted = {"ssl": trusting(authority), "address": ("127.0.0.1", port)}
    [url] = re.findall(r"'(wss://.*?)'", PAGE)
    with typed(tmp_path, port, admin_port, authority) as seen:
        for (command, shown), told in zip(commands(), seen):
            if shown.startswith('{"id"'):
                assert re.fullmatch(r'\{"id":"[0-9a-f]{8}-\d+"\}', told), command
            elif shown:
                assert told == shown, command
        token = seen[-2]
        for secret, mode in [("slackwater.env", 0o600), ("etc/slackwater/tls/privkey.pem", 0o640), ("etc/slackwater/tls", 0o750)]:
            assert (tmp_path / secret).stat().st_mode & 0o777 == mode, secret
        assert (tmp_path / "etc/sysctl.d/50-slackwater.conf").read_text() == "net.ipv4.ip_unprivileged_port_start=80\n"
        # What the page does, which may load the module.
        context = ssl.create_default_context(cafile=authority)
        context.check_hostname = False
        module = Request(f"https://127.0.0.1:{port}/slackwater.js", headers={"Origin": APP, "Host": NAME})
        with urlopen(module, timeout=PATIENCE, context=context) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        options, _ = WAYS["sub-protocol"](token)
        with connect(url, origin=APP, **options, **trusted) as page:
            assert hear(page, "welcome")["topics"] == ["orders/*"]
            # certbot renews, and runs its hook.
            certify(tmp_path / "lineage")
            renewed = (tmp_path / "lineage" / "fullchain.pem").read_text()
            subprocess.run([tmp_path / "etc/slackwater/renewed"], env={**os.environ, "RENEWED_LINEAGE": str(tmp_path / "lineage")},
                           check=True)
            log = (tmp_path / "log").read_text
            wait_until(lambda: "From now on clients are shown" in log(), log)
            assert ssl.get_server_certificate(("127.0.0.1", port)) == renewed
            urlopen(f"http://localhost:{admin_port}/publish?topic=orders/7", b"paid", timeout=PATIENCE).close()
            assert next_message(page)["data"] == "paid", "it has stayed"
        for origin, status in [("https://evil.example", 403), (f"https://{NAME}", 401), (APP, 401)]:
            with pytest.raises(InvalidStatus) as refused, connect(url, origin=origin, **trusted):
                pass
            assert refused.value.response.status_code == status
        log = (tmp_path / "log").read_text()
        secret = re.search(r"SECRET=(\w+)", (tmp_path / "slackwater.env").read_text())[1]
        assert len(secret) == 64 and secret not in log and token not in log
        # Nothing is dangerous about it; the only one who was warned of is the page that was refused.
        assert all("https://evil.example" in line for line in log.splitlines() if "[WARNING]" in line)
