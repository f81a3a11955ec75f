"""Owns every query that ships: those of the dashboard and of the alerts, and what they select."""

import json
import re
from collections.abc import Iterator

import yaml

from chart import CHART

DASHBOARD = json.loads((CHART / "dashboards" / "sfumato.json").read_text())
RULES = yaml.safe_load((CHART / "rules" / "sfumato.yaml").read_text())
# What Grafana puts in.
VARIABLES = {"$instance": ".*", "$__rate_interval": "10s"}
# A name, and its matchers where it has some.
SELECTOR = re.compile(r"\b((?:sfumato|process)_\w+|up)\b(\{[^}]*\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')


def resolved(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def panels() -> list[dict]:
    """All but rows."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def of_dashboard() -> Iterator[tuple[str, str]]:
    """Title and query of each target, and of what is beside panels."""
    for panel in panels():
        for target in panel.get("targets", []):
            yield f"{panel['title']} ({target['refId']})", resolved(target["expr"])
    for annotation in DASHBOARD["annotations"]["list"]:
        yield f"annotation {annotation['name']}", resolved(annotation["expr"])


def of_alerts() -> Iterator[tuple[str, str]]:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def selectors(expression: str) -> set[str]:
    """The series an expression selects, one selector for each name and set of matchers."""
    return {name + (matchers or "") for name, matchers in SELECTOR.findall(expression)}


def alternatives(selector: str) -> set[str]:
    """A selector for each value that a matcher lists: `reason=~"a|b"` names two that must be there."""
    name, _, matchers = selector.partition("{")
    found = {name + "{" + matchers if matchers else name}
    for label, operator, value in MATCHER.findall(matchers):
        if operator == "=~" and "|" in value:
            plain = f'{label}=~"{value}"'
            found = {each.replace(plain, f'{label}=~"{part}"') for each in found for part in value.split("|")}
    return found


def family(name: str) -> str:
    """The metric that a series of a histogram belongs to."""
    return re.sub(r"_(bucket|sum|count)$", "", name)
