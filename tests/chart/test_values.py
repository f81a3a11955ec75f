"""Values, their schema, their table and what the chart believes of the server are in step."""

import json
import re
import tomllib

import jsonschema
import pytest
import yaml

import values_table
from cases import matrix
from chart import CHART, ROOT, Values, leaves

DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
SETTINGS = (ROOT / "src" / "config" / "settings.rs").read_text()


def test_every_value_is_in_the_readme() -> None:
    command = "tests/clients/python/.venv/bin/python tests/chart/values_table.py --write"
    assert values_table.written()[1] == values_table.table(), f"run {command}"


def test_every_value_has_a_comment() -> None:
    described = [path for path, _ in values_table.described()]
    for path, _ in leaves(DEFAULTS):
        assert any(path == known or path.startswith(f"{known}.") for known in described), f"{path} has no comment"


def schema_of(path: str) -> Values:
    found = SCHEMA
    for step in path.split("."):
        assert "properties" in found or found.get("type") == "object", path
        if step not in found.get("properties", {}):
            return {}
        found = found["properties"][step]
    return found


def test_the_schema_knows_every_value_and_no_other() -> None:
    # What is passed on to Kubernetes or to the server is theirs to check.
    passed_on = ("config", "podSecurityContext", "securityContext", "resources", "dashboard.labels", "global")
    for path, _ in leaves(DEFAULTS):
        assert schema_of(path) or path.startswith(passed_on), f"{path} is not in the schema"
    in_schema = [path.replace("properties.", "") for path in schema_paths(SCHEMA)]
    for path in in_schema:
        assert path.startswith(passed_on) or path in dict(leaves(DEFAULTS)), f"{path} is not in values.yaml"


def schema_paths(schema: Values, path: str = "") -> list[str]:
    if "properties" not in schema:
        return [path]
    inner = schema["properties"].items()
    return [found for name, value in inner for found in schema_paths(value, f"{path}.{name}" if path else name)]


def test_every_case_and_the_defaults_fit_the_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft7Validator(SCHEMA)
    for values in [DEFAULTS, *matrix().values()]:
        validator.validate(values)


def test_the_chart_is_of_the_servers_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]


def templates() -> str:
    return "\n".join(path.read_text() for path in sorted((CHART / "templates").iterdir()))


def known_settings() -> set[str]:
    """Keys of the server's table, both of its forms of a line."""
    return set(re.findall(r'\b(?:value|switch)\(\s*"([\w.]+)"', SETTINGS))


def test_the_table_of_settings_is_read() -> None:
    assert {"port", "rtc.udp_port", "shards", "logging.json"} <= known_settings()


# Keys and variables the templates read or set, with the flag that each variable belongs to.
KEYS_READ = ["port", "prometheus.port", "rtc.udp_port", "rtc.node_ip", "shards", "drain.grace", "drain.spread"]
VARIABLES = {"SFUMATO_KEYS": "keys", "SFUMATO_TLS_CERT": "tls-cert", "SFUMATO_TLS_KEY": "tls-key"}
VARIABLES |= {"SFUMATO_METRICS_BIND": "metrics-bind", "SFUMATO_NODE_IP": "node-ip"}


@pytest.mark.parametrize("key", KEYS_READ)
def test_what_the_chart_reads_is_a_setting(key: str) -> None:
    steps = " ".join(f'"{step}"' for step in key.split("."))
    assert f"dig {steps}" in templates() or f'.Values.config "{key}"' in templates(), "the chart does not read it"
    assert key in known_settings()


def test_what_the_chart_sets_is_a_setting() -> None:
    set_by_the_chart = set(re.findall(r"name: (SFUMATO_\w+)", templates())) - {"SFUMATO_CONFIG"}
    assert set_by_the_chart == set(VARIABLES)
    for variable, flag in VARIABLES.items():
        assert variable == "SFUMATO_" + flag.replace("-", "_").upper()
        assert f'"{flag}"' in SETTINGS


# Defaults of the server that the chart has to know, as `--help` tells them.
@pytest.mark.parametrize(
    ("key", "default"),
    [("port", 7880), ("rtc.udp_port", 7882), ("prometheus.port", 6789), ("drain.grace", 18000), ("drain.spread", 20)],
)
def test_defaults_are_those_of_the_server(key: str, default: int) -> None:
    step = key.rsplit(".", 1)[-1]
    assert re.search(rf'dig [^}}]*"{step}"[^}}]*\b{default}\b', templates()), f"the chart does not say {default}"
    help_text = re.search(rf'"{re.escape(key)}",.*?\),\n', SETTINGS, re.S)
    assert help_text and re.search(rf"\b{default:_}\b|\b{default}\b|\b{default:,}\b", help_text.group())


