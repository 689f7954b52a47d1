"""Prints the licences of all crates that are linked into the program for a target, each text once."""
import collections
import json
import pathlib
import re
import subprocess
import sys

LICENCE = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


def linked(metadata):
    """The packages that the program uses, by way of others or not: neither those that tests use nor those that build."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    seen, todo = set(), [metadata["resolve"]["root"]]
    while todo:
        if (one := todo.pop()) not in seen:
            seen.add(one)
            todo += [edge["pkg"] for edge in nodes[one]["deps"] if any(kind["kind"] is None for kind in edge["dep_kinds"])]
    return sorted((package for package in metadata["packages"] if package["id"] in seen and package["source"]),
                  key=lambda package: (package["name"], package["version"]))


def main(target):
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}"]
    texts = collections.defaultdict(list)
    originals = {}
    for package in linked(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)):
        name = f"{package['name']} {package['version']}"
        print(f"{name}: {package['license']} <{package['repository'] or package['homepage'] or ''}>")
        for file in sorted(pathlib.Path(package["manifest_path"]).parent.iterdir()):
            if file.is_file() and LICENCE.match(file.name):
                text = file.read_text(errors="replace").strip()
                same = " ".join(text.split())
                originals.setdefault(same, text)
                if name not in texts[same]:
                    texts[same].append(name)
    for same, names in texts.items():
        print(f"\n{'=' * 80}\n{', '.join(names)}:\n\n{originals[same]}")


main(sys.argv[1])
