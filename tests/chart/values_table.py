"""Owns the table of values in the chart's README: made from the comments of values.yaml, so that there is one text.

`values_table.py` prints it, `values_table.py --write` puts it into the README between its marks.
"""

import json
import sys
from typing import Any

import yaml

from chart import CHART, at

VALUES = CHART / "values.yaml"
README = CHART / "README.md"
BEGIN, END = "<!-- values -->\n", "<!-- end of values -->\n"


def described() -> list[tuple[str, str]]:
    """Each value with a comment: its path and the comment's text, in the order of the file."""
    found: list[tuple[str, str]] = []
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in VALUES.read_text().splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment.append(text.lstrip("# "))
            continue
        if not text or text.startswith("- "):
            comment = []
            continue
        depth = len(line) - len(line.lstrip())
        path = [step for step in path if step[0] < depth] + [(depth, text.split(":", 1)[0])]
        if comment:
            found.append((".".join(name for _, name in path), " ".join(comment)))
            comment = []
    return found


def shown(value: Any) -> str:
    return "`" + (value if isinstance(value, str) and value else json.dumps(value)) + "`"


def table() -> str:
    values = yaml.safe_load(VALUES.read_text())
    lines = ["| value | default | |", "|---|---|---|"]
    lines += [f"| `{path}` | {shown(at(values, path))} | {text} |" for path, text in described()]
    return "\n".join(lines) + "\n"


def written() -> tuple[str, str, str]:
    """The README before, between and after the marks."""
    before, rest = README.read_text().split(BEGIN)
    between, after = rest.split(END)
    return before, between, after


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        before, _, after = written()
        README.write_text(before + BEGIN + table() + END + after)
    else:
        print(table(), end="")
