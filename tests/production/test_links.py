"""Every link of the texts leads somewhere in this repository, and none to a package registry."""
import re

import pytest

from neighbours import DOCS, README

ROOT = README.parent
TEXTS = [README, ROOT / "tests/README.md", ROOT / "benches/README.md", *sorted(DOCS.glob("*.md"))]
REGISTRIES = re.compile(r"https?://(www\.)?(pypi\.org|npmjs\.com|crates\.io)")


def prose(path):
    """The text without what it quotes: a comment of a script looks like a heading."""
    return re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere_and_none_to_a_registry(text):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        assert not REGISTRIES.match(link), link
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        leads_to = text.parent / path if path else text
        assert leads_to.exists(), link
        assert not anchor or anchor in anchors(leads_to), link
