"""Every query of the dashboard and of the alerts is asked of a real Prometheus that scrapes a real server with people in it."""

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

import queries
from cases import SECRET
from chart import CHART, ROOT
from prometheus import Prometheus
from running import metrics_address, running
from scrape import load
from server import Server

pytestmark = [pytest.mark.prometheus, pytest.mark.openssl]

QUERIES = dict([*queries.of_dashboard(), *queries.of_alerts()])
SELECTED = sorted({each for text in QUERIES.values() for found in queries.selectors(text) for each in queries.alternatives(found)})
# Empty when all is well: a restart that did not happen.
EMPTY = {"annotation Restarts"}


@dataclass
class Watched:
    """A Prometheus, and the text of its server's metrics."""

    prometheus: Prometheus
    text: str


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        server = Server("--shards", "2")
        stack.callback(server.stop)
        # Metrics of certificates are there with one only.
        said = stack.enter_context(running(folder / "log", *certificate(folder), SFUMATO_KEYS=f"my-key: {SECRET}"))
        targets = [server.metrics_url.split("/")[2], metrics_address(said)]
        prometheus = Prometheus(folder, targets, [CHART / "rules" / "sfumato.yaml"])
        stack.callback(prometheus.stop)
        # Rates need a sample from before anybody came.
        prometheus.wait_for("count(sfumato_participants) == 2", 10)
        load(server, "fanout", "--viewers", "3", "--duration", "6", "--warmup", "1", "--video-rate", "50")
        yield Watched(prometheus, "".join(scraped(target) for target in targets))


def scraped(target: str) -> str:
    with urllib.request.urlopen(f"http://{target}/metrics", timeout=5) as answer:
        return answer.read().decode()


def certificate(folder: Path) -> list[str]:
    """Flags for a certificate of 90 days."""
    pair = {"--tls-cert": folder / "tls.crt", "--tls-key": folder / "tls.key"}
    how = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN=localhost".split()
    files = ["-out", pair["--tls-cert"], "-keyout", pair["--tls-key"]]
    subprocess.run(["openssl", *how, *files], check=True, capture_output=True, timeout=30)
    return [f"{flag}={path}" for flag, path in pair.items()]


@pytest.mark.parametrize("selector", SELECTED)
def test_what_a_query_selects_is_there(watched: Watched, selector: str) -> None:
    assert watched.prometheus.query(f"count({queries.resolved(selector)})"), f"{selector} is not in a scrape"


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_understood(watched: Watched, name: str) -> None:
    watched.prometheus.query(QUERIES[name])


@pytest.mark.parametrize("name", [name for name, _ in queries.of_dashboard() if name not in EMPTY])
def test_a_panel_shows_something(watched: Watched, name: str) -> None:
    # Also what was measured a moment ago: by now everybody has left.
    shown = watched.prometheus.numbers(f"max_over_time(({QUERIES[name]})[2m:1s])")
    assert shown, f"{QUERIES[name]} has no samples"


def test_prometheus_takes_the_rules_and_no_alert_fires(watched: Watched) -> None:
    groups = watched.prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(list(queries.of_alerts()))
    assert {rule["health"] for rule in rules} == {"ok"}, [rule for rule in rules if rule["health"] != "ok"]
    # Those that wait for minutes may well have begun to, on a machine that tests load.
    firing = [alert for alert in watched.prometheus.get("alerts")["alerts"] if alert["state"] == "firing"]
    assert not firing


def test_metrics_that_the_docs_name_are_there(watched: Watched) -> None:
    families = set(re.findall(r"^# TYPE (\w+) ", watched.text, re.M))
    for page in [*sorted((ROOT / "docs").glob("*.md")), CHART / "README.md", CHART / "values.yaml"]:
        for name in re.findall(r"\bsfumato_\w+\b", page.read_text()):
            assert queries.family(name) in families, f"{name} in {Path(page).name}"
