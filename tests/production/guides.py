"""What the README and the guides show: each block of code with its language, also an indented one, and of a `console` block what is
typed and what is seen of it. Knows how a text is written; runs nothing."""
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from neighbours import DOCS, README

GUIDES = [README, *sorted(DOCS.glob("*.md"))]
# What differs from time to time.
VARIES = [
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\b[0-9a-f]{8}(-\d+)?\b", "ID"),
    (r"\b(process|room for about|heard for|redis|version) \d[\d.]*", r"\1 N"),
    (r"worker \d+ \(\d+\)", "worker N (N)"),
    (r"redis://127\.0\.0\.1:\d+", "redis://127.0.0.1"),
]


@dataclass(frozen=True)
class Block:
    path: Path
    number: int
    language: str
    text: str

    def __str__(self):
        return f"{self.path.name}:{self.number}"

    def steps(self):
        """Each command of a `console` block, with those of its lines that follow from the shell, and the lines that are seen."""
        command = None
        for line in self.text.splitlines():
            ends_here = re.search(r"<<(\w+)$", command.partition("\n")[0]) if command else None
            if command and (command.endswith("\\") or ends_here and not command.endswith(f"\n{ends_here[1]}")):
                command += f"\n{line}"
            elif typed := re.fullmatch(r"[$#] (.*)", line):
                if command:
                    yield command, seen
                command, seen = typed[1], []
            else:
                assert command, f"{self}: nothing was typed before {line!r}"
                seen.append(line)
        if command:
            yield command, seen


def blocks(path):
    """All blocks of code; one that is not closed, or has no language, is none and fails."""
    opened, number, lines = None, 0, []
    for line in path.read_text().splitlines():
        fence = re.fullmatch(r"( *)```(.*)", line)
        if opened is None and fence:
            opened, lines, number = fence, [], number + 1
            assert fence[2], f"block {number} of {path.name} says no language"
        elif opened is not None and fence and fence[1] == opened[1]:
            assert not fence[2]
            yield Block(path, number, opened[2], textwrap.dedent("\n".join(lines)) + "\n")
            opened = None
        else:
            assert opened is None or not fence, f"block {number} of {path.name} is not closed"
            lines.append(line)
    assert opened is None, f"block {number} of {path.name} is not closed"


def like(line):
    """The line without what differs from time to time."""
    for pattern, name in VARIES:
        line = re.sub(pattern, name, line)
    return line


ALL = [block for path in GUIDES for block in blocks(path)]
