"""Every alert fires when it should and not otherwise, by promtool; it says what is wrong, and the runbook what to do."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from alert_cases import CASES, Case, Series
from cases import KEYS, matrix, merged
from chart import CHART, ROOT, Refused, render

RULES = CHART / "rules" / "sfumato.yaml"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
TARGET = 'job="sfumato",instance="192.0.2.1:6789"'
PROMTOOL_SECONDS = 60


def promtool(*arguments: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        ["promtool", *arguments], cwd=cwd, capture_output=True, text=True, timeout=PROMTOOL_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def placed(series: Series) -> list[dict[str, str]]:
    """Series as scraped from one server; those with a job of their own stay as they are."""
    given = []
    for name, values in series.items():
        bare, _, labels = name.rstrip("}").partition("{")
        labels = labels if "job=" in labels else ",".join(filter(None, [labels, TARGET]))
        given.append({"series": f"{bare}{{{labels}}}", "values": values})
    return given


def outcome(alert: str, series: Series, at: str, expected: int, folder: Path) -> None:
    """Asserts for how many servers an alert is firing."""
    samples = [{"labels": "{}", "value": expected}] if expected else []
    test = {
        "interval": "15s",
        "input_series": placed(series),
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": at,
                "exp_samples": samples,
            }
        ],
    }
    suite = {"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": [test]}
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump(suite))
    promtool("test", "rules", str(file))


@pytest.mark.prometheus
def test_promtool_takes_the_rules() -> None:
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool("check", "rules", str(RULES))


def test_every_alert_has_its_cases() -> None:
    assert set(CASES) == set(ALERTS)


@pytest.mark.prometheus
@pytest.mark.parametrize("alert", CASES)
def test_it_fires(alert: str, tmp_path: Path) -> None:
    outcome(alert, CASES[alert].fires, CASES[alert].at, 1, tmp_path)


@pytest.mark.prometheus
@pytest.mark.parametrize("alert", CASES)
def test_it_does_not_fire(alert: str, tmp_path: Path) -> None:
    outcome(alert, CASES[alert].quiet, CASES[alert].at, 0, tmp_path)


# Gauges and thresholds of time: a short while is nothing to wake somebody for.
@pytest.mark.prometheus
@pytest.mark.parametrize("alert", [alert for alert, rule in ALERTS.items() if rule.get("for")])
def test_it_waits_before_it_fires(alert: str, tmp_path: Path) -> None:
    case: Case = CASES[alert]
    outcome(alert, case.fires, "15s", 0, tmp_path)


def test_every_alert_says_what_and_where() -> None:
    for name, rule in ALERTS.items():
        assert re.fullmatch(r"Sfumato([A-Z][a-z]+)+", name)
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, name
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"] or name == "SfumatoAbsent"
        assert "room" not in rule["labels"] and "participant" not in rule["labels"]


def anchors() -> dict[str, str]:
    """Sections of the runbook by anchor."""
    parts = re.split(r"^## (.+)$", RUNBOOK, flags=re.M)[1:]
    return {title.strip().lower(): text for title, text in zip(parts[::2], parts[1::2], strict=True)}


def test_every_alert_has_a_section_of_the_runbook_and_none_is_left_over() -> None:
    sections = anchors()
    used = set()
    for name, rule in ALERTS.items():
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == "docs/runbook.md" and anchor in sections, name
        assert len(sections[anchor].split()) > 40, f"{anchor} says hardly anything"
        for part in ("**Means**", "**Look**", "**Do**"):
            assert part in sections[anchor], f"{anchor} lacks {part}"
        used.add(anchor)
    assert set(sections) - used == set(), "sections without an alert"


def test_the_list_of_alerts_is_whole() -> None:
    """docs/monitoring.md names each with its severity and waiting time."""
    listed = re.findall(r"^\| \[(\w+)\]\(runbook\.md#(\w+)\) \| (\w+) \| ([\w ]*) \|", (ROOT / "docs" / "monitoring.md").read_text(), re.M)
    told = {name: (anchor, severity, waits.strip()) for name, anchor, severity, waits in listed}
    for name, rule in ALERTS.items():
        anchor = rule["annotations"]["runbook_url"].partition("#")[2]
        assert told.get(name) == (anchor, rule["labels"]["severity"], rule.get("for", "")), name
    assert set(told) == set(ALERTS)


@pytest.mark.helm
def test_a_cluster_gets_the_same_rules() -> None:
    (manifest,) = render(merged(KEYS, {"prometheusRule": {"enabled": True}})).of("PrometheusRule")
    assert manifest["apiVersion"] == "monitoring.coreos.com/v1"
    told = {rule["alert"]: rule for group in manifest["spec"]["groups"] for rule in group["rules"]}
    late = ALERTS["SfumatoDrainTakesLong"] | {"for": "14400s"}
    assert told == ALERTS | {"SfumatoDrainTakesLong": late}
    assert [group["name"] for group in manifest["spec"]["groups"]] == [group["name"] for group in GROUPS]


@pytest.mark.helm
@pytest.mark.prometheus
def test_values_shape_the_rules_of_a_cluster(tmp_path: Path) -> None:
    values = merged(matrix()["deployment/host/most"], {"prometheusRule": {"disabled": ["SfumatoAbsent"]}})
    groups = render(values).one("PrometheusRule")["spec"]["groups"]
    rules = {rule["alert"]: rule for group in groups for rule in group["rules"]}
    assert set(rules) == set(ALERTS) - {"SfumatoAbsent"}
    assert all(rule["labels"]["team"] == "calls" and "severity" in rule["labels"] for rule in rules.values())
    assert rules["SfumatoDown"]["annotations"]["runbook_url"] == "https://example.org/runbook#sfumatodown"
    assert rules["SfumatoDrainTakesLong"]["for"] == "480s", "80 % of a grace of 600 s"
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": groups}))
    promtool("check", "rules", str(file))


@pytest.mark.helm
def test_a_wrong_list_of_alerts_is_refused() -> None:
    with pytest.raises(Refused, match="disabled"):
        render(merged(KEYS, {"prometheusRule": {"enabled": True, "disabled": "SfumatoAbsent"}}))
