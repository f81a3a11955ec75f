"""Owns reading the Dockerfile and .dockerignore, as far as tests look into them."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import PurePosixPath

from chart import ROOT

DOCKERFILE = ROOT / "Dockerfile"


@dataclass(frozen=True)
class Instruction:
    word: str
    rest: str


def instructions() -> list[Instruction]:
    """In order, without comments, each with its continuation lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [Instruction(word.upper(), rest) for word, rest in found]


def stages() -> list[list[Instruction]]:
    """Each from its FROM on."""
    result: list[list[Instruction]] = []
    for instruction in instructions():
        if instruction.word == "FROM":
            result.append([])
        if result:
            result[-1].append(instruction)
    return result


def arguments() -> dict[str, str]:
    """Defaults of those before the first stage."""
    before = takewhile(lambda each: each.word != "FROM", instructions())
    return dict(each.rest.split("=", 1) for each in before if each.word == "ARG")


def copied() -> list[str]:
    """What is copied from the tree, without the copies between stages."""
    sources = []
    for instruction in instructions():
        if instruction.word == "COPY" and "--from=" not in instruction.rest:
            sources += instruction.rest.split()[:-1]
    return sources


def ignored(path: str) -> bool:
    """By .dockerignore, whose last matching line wins; a line matches what is below, too."""
    pure = PurePosixPath(path)
    parts = [pure, *pure.parents]
    verdict = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").strip("/")
        if not pattern or line.startswith("#"):
            continue
        anywhere = pattern.removeprefix("**/")
        by_name = anywhere != pattern
        if any(fnmatchcase(part.name if by_name else str(part), anywhere) for part in parts):
            verdict = not line.startswith("!")
    return verdict
