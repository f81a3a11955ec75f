"""Owns reading the metrics of a server as it answers a scrape, and putting it under a short load of real clients."""

import re
import subprocess
import urllib.request

import pytest

from server import Server, binary

SCRAPE_SECONDS = 5.0
LOAD_SECONDS = 120.0

SAMPLE = re.compile(r"^(?P<series>(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})?) (?P<value>\S+)$")


class Scrape:
    """The samples of one answer."""

    def __init__(self, text: str) -> None:
        self.text = text
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        found = [SAMPLE.match(line) for line in lines]
        assert all(found), [line for line, match in zip(lines, found) if not match]
        self.samples = [match for match in found if match]

    @property
    def series(self) -> set[str]:
        return {sample["series"] for sample in self.samples}

    def sum(self, name: str, **labels: str) -> float:
        """Over the series that have these labels; there has to be one."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        of_name = [sample for sample in self.samples if sample["name"] == name]
        found = [sample for sample in of_name if all(pair in (sample["labels"] or "").split(",") for pair in wanted)]
        assert found, f"no {name} with {labels}"
        return sum(float(sample["value"]) for sample in found)


def scrape(server: Server) -> Scrape:
    with urllib.request.urlopen(server.metrics_url, timeout=SCRAPE_SECONDS) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return Scrape(answer.read().decode())


def load(server: Server, *shape: str) -> None:
    """A scenario of sfumato-load, which fails unless everybody received everything."""
    program = binary().with_name("sfumato-load")
    if not program.exists():
        pytest.skip(f"no {program.name} beside the server: cargo build --release --package sfumato-load")
    command = [str(program), *shape, "--runs", "1", "--url", server.url.replace("ws", "http", 1)]
    done = subprocess.run(command, timeout=LOAD_SECONDS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
