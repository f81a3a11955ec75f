"""The dashboard is laid out so that somebody who does not know it finds what they ask, and so that Grafana can show it."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from queries import DASHBOARD, panels

ROWS = ["Is it healthy?", "Quality: what people see and hear", "Load", "Network", "Joins"]
# Of Grafana's grid.
COLUMNS = 24
UNITS = {"short", "none", "percentunit", "s", "bytes", "bps", "pps", "reqps", "ops"}


# Fields that Grafana reads and its types do not have: of a query's variable, and of annotations from Prometheus.
UNTYPED = {"templating.list.definition", *(f"annotations.list.{field}" for field in ("step", "textFormat", "titleFormat"))}


def unknown(given: Any, read: Any, path: str = "") -> Iterator[str]:
    """Paths of what was given and is not among what was read."""
    if isinstance(given, dict) and isinstance(read, dict):
        for key, value in given.items():
            below = f"{path}.{key}".lstrip(".")
            yield from unknown(value, read[key], below) if key in read else [below]
    elif isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        for one, other in zip(given, read, strict=True):
            yield from unknown(one, other, path)
    elif given != read:
        yield path


def read_by_grafana(board: dict[str, Any]) -> dict[str, Any]:
    register_default_plugins()
    return json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(board)))


def test_grafana_knows_every_field() -> None:
    assert set(unknown(DASHBOARD, read_by_grafana(DASHBOARD))) == UNTYPED


def test_grafana_would_not_know_a_wrong_field() -> None:
    wrong = json.loads(re.sub('"legendFormat"', '"legend"', json.dumps(DASHBOARD), count=1))
    assert set(unknown(wrong, read_by_grafana(wrong))) - UNTYPED


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    across = one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
    return across and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]


def test_rows_come_in_the_order_of_the_questions() -> None:
    rows = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert [row["title"] for row in rows] == ROWS
    tops = [row["gridPos"]["y"] for row in rows]
    assert tops == sorted(tops) and tops[0] == 0


def test_panels_lie_beside_each_other() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= COLUMNS and place["h"] > 0 for place in places)
    assert not [pair for pair in combinations(places, 2) if overlap(*pair)]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_health_is_seen_at_once() -> None:
    """What fits on a screen before scrolling, 38 units at a usual size: the whole first row and the beginning of quality."""
    tops = {panel["title"]: panel["gridPos"]["y"] for panel in panels()}
    assert all(tops[title] < 5 for title in ("Up", "Ready", "Draining", "Overloaded", "Freezes", "Participants"))


def test_every_panel_says_what_it_shows() -> None:
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles)
    for panel in panels():
        assert len(panel["description"]) > 10 and panel["description"].endswith("."), panel["title"]
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit")
        assert unit in UNITS or panel["type"] in {"alertlist", "state-timeline"}, panel["title"]


def test_the_data_source_and_the_servers_are_chosen() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    assert variables["instance"]["multi"] and variables["instance"]["includeAll"]
    for panel in panels():
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}", "no data source of one Grafana"
            assert '$instance' in target["expr"], f"{panel['title']} does not follow the choice"
            assert "{{" in target["legendFormat"] or len(panel["targets"]) == 1 or target["legendFormat"]


def test_rates_are_taken_over_what_grafana_scrapes() -> None:
    for panel in panels():
        for target in panel.get("targets", []):
            if panel["type"] == "timeseries" and "rate(" in target["expr"]:
                assert "[$__rate_interval]" in target["expr"], panel["title"]


def test_there_is_one_identity_to_link_to() -> None:
    assert (DASHBOARD["uid"], DASHBOARD["title"]) == ("sfumato", "Sfumato")
    assert "id" not in DASHBOARD, "numbers belong to one Grafana"
