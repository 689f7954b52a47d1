"""The README's way to the internet, followed to the letter: from nothing to tokens behind TLS. Only names and ports are led
to this machine, and the certificate is by an authority of the test's own."""
import contextlib
import os
import re
import shutil
import ssl
import subprocess
from urllib.request import Request, urlopen

import pytest
from websockets.exceptions import InvalidStatus

from client import connect, hear, next_message
from neighbours import README, nginx
from programs import free_port, wait_until
from slackwater import PATIENCE
from tokens import WAYS

NAME, APP = "events.example.com", "https://app.example.com"
[SECTION] = re.findall(r"^## On the internet$(.*?)^## ", README.read_text(), re.MULTILINE | re.DOTALL)
[TLS] = re.findall(r"^```text\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
[PAGE] = re.findall(r"^```js\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
DONE = "that was all"


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
    """The certificate that the README takes from elsewhere: the paths of its chain and of its key, and the authority."""
    folder.mkdir()

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-subj", "/CN=The test's authority", "-days", "1", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *key, "-subj", f"/CN={NAME}", "-keyout", "privkey.pem", "-out", "request.pem")
    (folder / "names").write_text(f"subjectAltName=DNS:{NAME}\n")
    openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "1", "-extfile", "names",
            "-out", "fullchain.pem")
    return folder / "ca.pem"


@contextlib.contextmanager
def typed(folder, server_port, nginx_port, authority):
    """Types all of it into one shell. What was seen of each command, and the token; the server goes on meanwhile."""
    for name in ("bin", "home"):
        (folder / name).mkdir()
    (folder / "bin" / "slackwater").symlink_to(os.environ["SLACKWATER_BIN"])
    (folder / "home" / ".curlrc").write_text(
        f'connect-to = "{NAME}:443:127.0.0.1:{nginx_port}"\nconnect-to = "localhost:8000:127.0.0.1:{server_port}"\n'
        f'cacert = "{authority}"\nnoproxy = "*"\nsilent\nmax-time = {PATIENCE}\n')
    env = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "CURL_HOME": str(folder / "home"),
           "SLACKWATER_PORT": str(server_port)}
    # Whoever types waits until the server serves, and ends it in the end.
    wait = "trap 'kill $!; wait' EXIT; until curl -so /dev/null localhost:8000/healthz; do kill -0 $!; sleep 0.05; done\n"
    script = "".join(f"{command}\n{wait if command.endswith('&') else ''}echo '{DONE}'\n" for command, _ in commands())
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


def test_the_readme_leads_from_nothing_to_tokens_behind_tls(tmp_path):
    server_port, nginx_port = free_port(), free_port()
    authority = certify(tmp_path / "tls")
    tls = TLS.replace("listen 443 ", f"listen 127.0.0.1:{nginx_port} ")
    tls = tls.replace(f"/etc/letsencrypt/live/{NAME}", str(tmp_path / "tls"))
    changes = {"listen 80;": tls, "127.0.0.1:8000": f"127.0.0.1:{server_port}", "127.0.0.1:8001": f"127.0.0.1:{server_port}"}
    trusted = {"ssl": ssl.create_default_context(cafile=authority), "address": ("127.0.0.1", nginx_port)}
    [url] = re.findall(r"'(wss://.*?)'", PAGE)
    with (nginx(tmp_path / "nginx", changes, port=nginx_port),
          typed(tmp_path, server_port, nginx_port, authority) as seen):
        for (command, shown), told in zip(commands(), seen):
            if shown.startswith('{"id"'):
                assert re.fullmatch(r'\{"id":"[0-9a-f]{8}-\d+"\}', told), command
            elif shown:
                assert told == shown, command
        token = seen[-2]
        assert (tmp_path / "slackwater.env").stat().st_mode & 0o777 == 0o600
        # What the page does, which may load the module.
        module = Request(f"http://127.0.0.1:{server_port}/slackwater.js", headers={"Origin": APP})
        with urlopen(module, timeout=PATIENCE) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        options, _ = WAYS["sub-protocol"](token)
        with connect(url, origin=APP, **options, **trusted) as page:
            assert hear(page, "welcome")["topics"] == ["orders/*"]
            urlopen(f"http://localhost:{server_port}/publish?topic=orders/7", b"paid", timeout=PATIENCE).close()
            assert next_message(page)["data"] == "paid"
        for origin, status in [("https://evil.example", 403), (f"https://{NAME}", 401), (APP, 401)]:
            with pytest.raises(InvalidStatus) as refused, connect(url, origin=origin, **trusted):
                pass
            assert refused.value.response.status_code == status
        log = (tmp_path / "log").read_text()
        secret = re.search(r"SECRET=(\w+)", (tmp_path / "slackwater.env").read_text())[1]
        assert len(secret) == 64 and secret not in log and token not in log
        # Nothing is dangerous about it; the only one who was warned of is the page that was refused.
        assert all("https://evil.example" in line for line in log.splitlines() if "[WARNING]" in line)
