"""Every code block of the README and the guides has somebody who judges it: a block in a language without a judge fails."""
import json
import re
import subprocess

import pytest

from neighbours import DOCS, README

BLOCKS = [(f"{path.name}:{number}", language, text)
          for path in [README, *sorted(DOCS.glob("*.md"))]
          for number, (language, text) in enumerate(
              re.findall(r"^```([^\n]*)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL), 1)]


def javascript(text):
    subprocess.run(["node", "--input-type=module", "--check"], input=text, text=True, check=True, timeout=20)


def console(text):
    """The shell can read what is typed; what it prints, the tests of each guide run."""
    assert re.match(r"[$#] ", text)
    for typed in re.findall(r"^[$#] ((?:.*\\\n)*.*)$", text, re.MULTILINE):
        if "<<" not in typed and typed.count("'") % 2 == 0:
            subprocess.run(["bash", "-n"], input=typed, text=True, check=True, timeout=20)


JUDGES = {
    "json": json.loads,
    "js": javascript,
    "python": lambda text: compile(text, "guide", "exec"),
    "console": console,
    "html": lambda text: [javascript(script) for script in re.findall(r"<script.*?>(.*?)</script>", text, re.DOTALL)],
    "nginx": lambda text: None,  # Run by nginx in test_strangers.py.
    "haproxy": lambda text: None,  # Run by HAProxy in test_strangers.py.
    "text": lambda text: None,  # What somebody sees: nothing that is typed.
}


@pytest.mark.parametrize("where, language, text", BLOCKS, ids=[where for where, *_ in BLOCKS])
def test_every_block_is_judged(where, language, text):
    JUDGES[language](text)
