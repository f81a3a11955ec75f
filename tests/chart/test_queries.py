"""Every query of the dashboard and of the alerts is asked of a real Prometheus that scrapes a real server with people in it."""

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import pending
import queries
from chart import CHART, ROOT
from prometheus import Prometheus
from server import Server, binary

pytestmark = pytest.mark.prometheus

LOAD_SECONDS = 90
QUERIES = dict([*queries.of_dashboard(), *queries.of_alerts()])
SELECTED = sorted({each for text in QUERIES.values() for found in queries.selectors(text) for each in queries.alternatives(found)})
# Series that nobody has who is not told to: the server under test serves no TLS.
CONDITIONAL = {"sfumato_tls_certificate_expiry_timestamp_seconds", "sfumato_tls_reloads_total"}
# Panels that are empty when all is well: a certificate that is not there, a restart that did not happen.
EMPTY = {"Certificate ends in (A)", "annotation Restarts"}


@dataclass
class Watched:
    """A Prometheus, and the text of its server's metrics."""

    prometheus: Prometheus
    text: str


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    server = Server("--shards", "2")
    try:
        target = server.metrics_url.split("/")[2]
        prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), target, [CHART / "rules" / "sfumato.yaml"])
        try:
            meet(server)
            prometheus.wait_for("sfumato_participants", 10)
            with urllib.request.urlopen(server.metrics_url, timeout=5) as answer:
                yield Watched(prometheus, answer.read().decode())
        finally:
            prometheus.stop()
    finally:
        server.stop()


def meet(server: Server) -> None:
    """Three people with audio and video for some seconds, of which the last are what rates are made of."""
    load = binary().with_name("sfumato-load")
    if not load.exists():
        pytest.skip(f"no {load.name} beside the server: cargo build --release --package sfumato-load")
    url = server.url.replace("ws", "http", 1)
    shape = ["meeting", "--participants", "3", "--runs", "1", "--duration", "6", "--warmup", "1", "--video-rate", "50"]
    subprocess.run([load, *shape, "--url", url], check=True, timeout=LOAD_SECONDS, capture_output=True)


@pytest.mark.parametrize("selector", SELECTED)
def test_what_a_query_selects_is_there(watched: Watched, selector: str) -> None:
    name = queries.family(queries.metric(selector))
    if name in CONDITIONAL and name not in pending.METRICS:
        pytest.skip("the server under test serves no TLS")
    exists = bool(watched.prometheus.query(f"count({queries.resolved(selector)})"))
    assert exists or name in pending.METRICS, f"{selector} is not in a scrape"


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_understood(watched: Watched, name: str) -> None:
    watched.prometheus.query(QUERIES[name])


@pytest.mark.parametrize("name", [name for name, _ in queries.of_dashboard() if name not in EMPTY])
def test_a_panel_shows_something(watched: Watched, name: str) -> None:
    missing = {queries.family(queries.metric(found)) for found in queries.selectors(QUERIES[name])} & pending.METRICS
    if missing:
        pytest.skip(f"{', '.join(sorted(missing))} pending")
    # What was measured a moment ago is looked at, not what there is since everybody left.
    shown = watched.prometheus.numbers(f"max_over_time(({QUERIES[name]})[20s:1s])")
    assert shown, f"{QUERIES[name]} has no samples"


def test_nothing_is_pending_that_is_there(watched: Watched) -> None:
    families = set(re.findall(r"^# TYPE (\w+) ", watched.text, re.M))
    there = pending.METRICS & families
    assert not there, f"take {', '.join(sorted(there))} out of METRICS in pending.py"
    used = {queries.family(queries.metric(selector)) for selector in SELECTED}
    assert pending.METRICS <= used, "pending, but not used by any query"


def test_prometheus_takes_the_rules_and_no_alert_fires(watched: Watched) -> None:
    groups = watched.prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(list(queries.of_alerts()))
    assert {rule["health"] for rule in rules} == {"ok"}, [rule for rule in rules if rule["health"] != "ok"]
    assert not watched.prometheus.get("alerts")["alerts"]


def test_metrics_that_the_docs_name_are_there(watched: Watched) -> None:
    families = set(re.findall(r"^# TYPE (\w+) ", watched.text, re.M)) | pending.METRICS | CONDITIONAL
    for page in [*sorted((ROOT / "docs").glob("*.md")), CHART / "README.md", CHART / "values.yaml"]:
        for name in re.findall(r"\bsfumato_\w+\b", page.read_text()):
            assert queries.family(name) in families, f"{name} in {Path(page).name}"
