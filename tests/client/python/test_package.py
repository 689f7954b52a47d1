"""What is published: how large it is, what it carries, and that the table of behaviours names tests that there are."""
import ast
import importlib.metadata
import io
import re
import tokenize
from pathlib import Path

import slackwater

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "client/python/src/slackwater").glob("*.py"))


def code_lines(path):
    """Those that are neither blank nor only a comment or a docstring."""
    text, documentation, code = path.read_text(), set(), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node):
            documentation |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            code |= set(range(token.start[0], token.end[0] + 1)) if token.string else set()
    return len(code - documentation)


def test_the_client_is_written_in_less_than_300_lines_of_code():
    assert sum(map(code_lines, SOURCES)) < 300


def test_what_is_installed_is_the_wheel_with_its_types_and_licences():
    package = importlib.metadata.distribution("slackwater")
    names = [str(file) for file in package.files]
    assert Path(slackwater.__file__).is_relative_to(package.locate_file("."))
    assert "slackwater/py.typed" in names
    assert [name for name in names if name.endswith(("LICENSE-MIT", "LICENSE-APACHE"))].__len__() == 2
    assert package.metadata["License-Expression"] == "MIT OR Apache-2.0"


def test_every_test_that_the_table_of_behaviours_names_is_there():
    table = (ROOT / "client/behaviour.md").read_text()
    ours = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    theirs = "".join(path.read_text() for path in (ROOT / "tests/browser").glob("*.test.mjs"))
    rows = re.findall(r"^\| (?!behaviour|---)(.*) \|$", table, re.MULTILINE)
    assert len(rows) > 30
    for row in rows:
        _, module, python = row.split(" | ")
        for name in re.findall(r"\*(.+?)\*", module):
            assert name in theirs, name
        for name in re.findall(r"`(\w+)`", python):
            assert f"def {name}(" in ours, name
