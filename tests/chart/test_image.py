"""The image is built from what is there, holds what the server needs and no more, and is run as it should be. Without a Docker engine."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dockerfile
from chart import ROOT
from server import binary

HADOLINT = Path(sys.executable).with_name("hadolint")
CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text())


def value(word: str) -> str:
    """Of the one instruction of its kind in the last stage."""
    (found,) = [each.rest for each in dockerfile.stages()[-1] if each.word == word]
    return found


def version(image: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.search(r":([\d.]+)", image).group(1).split("."))


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([HADOLINT, dockerfile.DOCKERFILE], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    wrong = tmp_path / "Dockerfile"
    wrong.write_text("FROM debian:latest\nRUN cd /tmp && apt-get install -y curl\n")
    done = subprocess.run([HADOLINT, wrong], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0 and "DL3007" in done.stdout


def test_what_is_copied_is_there_and_not_ignored() -> None:
    sources = dockerfile.copied()
    assert len(sources) > 5
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not dockerfile.ignored(source.rstrip("/")), source


@pytest.mark.parametrize(
    ("path", "out"),
    [
        ("src/main.rs", False),
        ("tests/simulator/Cargo.toml", False),
        ("web/package.json", False),
        ("web/node_modules/x", True),
        ("web/dist/index.html", True),
        ("tests/clients/package.json", True),
        ("tests/decoders/__pycache__/x.pyc", True),
        ("docs/README.md", True),
        ("target/release/sfumato", True),
        (".git/config", True),
    ],
)
def test_the_context_is_what_the_build_needs(path: str, out: bool) -> None:
    assert dockerfile.ignored(path) is out


def in_the_image(path: Path) -> bool:
    """Whether a file of the tree is copied into the stage that builds the server."""
    relative = path.resolve().relative_to(ROOT)
    copied = any(relative.is_relative_to(source.rstrip("/")) for source in dockerfile.copied())
    return copied and not dockerfile.ignored(str(relative))


def test_cargo_finds_every_member_and_target() -> None:
    for member in CARGO["workspace"]["members"]:
        assert in_the_image(ROOT / member / "Cargo.toml"), member
    for bench in CARGO.get("bench", []):
        assert in_the_image(ROOT / bench.get("path", f"benches/{bench['name']}.rs")), bench
    for target in CARGO.get("example", []) + CARGO.get("test", []) + CARGO["bin"]:
        assert in_the_image(ROOT / target["path"]), target


def test_what_the_server_includes_is_there() -> None:
    for source in (ROOT / "src").rglob("*.rs"):
        for included in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', source.read_text()):
            assert in_the_image(source.parent / included), f"{included} in {source}"


def test_the_toolchains_are_new_enough() -> None:
    defaults = dockerfile.arguments()
    rust = tuple(int(part) for part in CARGO["package"]["rust-version"].split("."))
    assert version(defaults["RUST_IMAGE"]) >= rust
    assert version(defaults["NODE_IMAGE"])[0] >= 20
    releases = {re.search(r"bookworm|debian12", image).group() for image in defaults.values()}
    assert releases == {"bookworm", "debian12"}, "one Debian in all stages"


def test_nobody_is_root_and_nothing_needs_a_shell() -> None:
    assert "nonroot" in dockerfile.arguments()["BASE_IMAGE"]
    user, group = value("USER").split(":")
    assert int(user) > 0 and int(group) > 0, "numbers, which Kubernetes can tell from root"
    for word in ("ENTRYPOINT", "RUN"):
        assert value(word).startswith('["/usr/bin/sfumato"'), word


def test_it_is_stopped_gently_and_asked_whether_it_is_alive() -> None:
    assert value("STOPSIGNAL") == "SIGTERM"
    # One that drains is not ready, and must not be restarted for it.
    assert value("HEALTHCHECK").endswith('CMD ["/usr/bin/sfumato", "healthcheck", "--live"]')
    assert value("EXPOSE").split() == ["7880/tcp", "6789/tcp", "7882/udp"]
    assert "MALLOC_ARENA_MAX=1" in value("ENV")


def test_the_subcommand_that_asks_is_there() -> None:
    printed = subprocess.run([binary(), "healthcheck", "--help"], capture_output=True, text=True, timeout=10, check=True)
    assert "--live" in printed.stdout


def test_the_server_needs_no_library_that_the_image_lacks() -> None:
    """The pattern of the Dockerfile's own check, over the binary of this tree."""
    (check,) = [each.rest for stage in dockerfile.stages() for each in stage if each.rest.startswith("if ldd")]
    allowed = re.search(r"grep -vE '([^']+)'", check).group(1)
    listed = subprocess.run(["ldd", binary()], capture_output=True, text=True, timeout=10, check=True).stdout
    lines = listed.splitlines()
    grep = subprocess.run(["grep", "-vE", allowed], input=listed, capture_output=True, text=True, timeout=10, check=False)
    assert len(lines) >= 3 and grep.stdout == ""
    foreign = subprocess.run(["grep", "-vE", allowed], input="\tlibssl.so.3 => /x", capture_output=True, text=True, timeout=10, check=False)
    assert "libssl" in foreign.stdout, "the check could not fail"
