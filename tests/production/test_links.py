"""Every link of the texts leads somewhere in this repository, and no address is that of a package registry."""
import re

import pytest

from neighbours import DOCS, README

ROOT = README.parent
TEXTS = sorted(path for folder in ["", "benches", "client/*", "docs", "tests", "tests/*"] for path in ROOT.glob(f"{folder}/*.md" if folder else "*.md"))
# A project's own page says more to a reader, and outlives where it is packed.
REGISTRIES = re.compile(r"\b(pypi\.org|npmjs\.(com|org)|crates\.io|rubygems\.org|hub\.docker\.com)\b|://(docs|lib)\.rs\b")


def prose(path):
    """The text without what it quotes: a comment of a script looks like a heading."""
    return re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]
    # A second one of the same name would be given another anchor than is written here.
    assert len(slugs) == len(set(slugs)), f"two headings of the same name in {path}"
    return set(slugs)


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(text):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        leads_to = text.parent / path if path else text
        assert leads_to.exists(), link
        assert not anchor or anchor in anchors(leads_to), link


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_address_is_that_of_a_registry(text):
    assert not REGISTRIES.search(text.read_text())


@pytest.mark.parametrize("guide", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_the_readme_leads_to_every_guide(guide):
    assert f"](docs/{guide.name}" in README.read_text(), f"name docs/{guide.name} in the README, below 'Where to read on'"


def test_the_readme_is_read_in_two_minutes():
    assert len(README.read_text().splitlines()) <= 120
