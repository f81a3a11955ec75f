"""The files of one machine fit together: compose.yaml, the unit for systemd, what the server reads, what Prometheus scrapes, what Grafana shows."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from chart import COMPOSE_SCHEMA, ROOT, at
from queries import RULES

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
SETTINGS = yaml.safe_load((ROOT / "deploy" / "sfumato.yaml").read_text())
UNIT = ROOT / "deploy" / "sfumato.service"
PROMETHEUS = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())


def mounts(service: str) -> dict[str, Path]:
    """Files and folders of the tree by where they are in the container."""
    parts = [volume.split(":") for volume in SERVICES[service]["volumes"]]
    return {part[1]: ROOT / part[0] for part in parts if part[0].startswith("./")}


@pytest.mark.compose_schema
def test_it_is_a_compose_file() -> None:
    # A name for the project came after this version of the schema.
    known = {key: value for key, value in COMPOSE.items() if key != "name"}
    jsonschema.Draft7Validator(json.loads(COMPOSE_SCHEMA.read_text())).validate(known)


@pytest.mark.compose_schema
def test_the_schema_refuses_what_is_wrong() -> None:
    wrong = {"services": {"sfumato": {"netork_mode": "host"}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(json.loads(COMPOSE_SCHEMA.read_text())).validate(wrong)


def test_what_is_mounted_is_there_and_read_only() -> None:
    for name, service in SERVICES.items():
        assert all(path.exists() for path in mounts(name).values()), name
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert volume.endswith(":ro") or source in COMPOSE["volumes"], volume


def test_no_service_has_rights_it_does_not_need() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"] and "privileged" not in service, name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "max-size" in service["logging"]["options"], "a log without a bound fills the disk"
    assert SERVICES["sfumato"]["read_only"] is True


def test_images_have_versions() -> None:
    for service in SERVICES.values():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), service["image"]


def test_it_waits_as_long_as_the_server_drains() -> None:
    minutes = int(re.fullmatch(r"(\d+)m", SERVICES["sfumato"]["stop_grace_period"]).group(1))
    assert minutes * 60 >= SETTINGS["drain"]["grace"] + SETTINGS["drain"]["spread"] + 15


def test_there_are_descriptors_for_every_connection() -> None:
    limits = (ROOT / "src" / "limits.rs").read_text()
    connections = int(re.search(r"HTTP_CONNECTIONS: u32 = ([\d_]+)", limits).group(1).replace("_", ""))
    for allowed in (SERVICES["sfumato"]["ulimits"]["nofile"], int(directive("LimitNOFILE"))):
        assert allowed > connections + 1000


def directive(name: str) -> str:
    """Of the unit for systemd."""
    (found,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.M)
    return found


def test_systemd_waits_as_long_and_runs_it_without_rights() -> None:
    assert int(directive("TimeoutStopSec")) >= SETTINGS["drain"]["grace"] + SETTINGS["drain"]["spread"] + 15
    assert directive("KillSignal") == "SIGTERM" and directive("DynamicUser") == "yes"
    assert directive("CapabilityBoundingSet") == "" and directive("NoNewPrivileges") == "yes"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/sfumato", "/bin/true"))
    verify = ["systemd-analyze", "verify", unit]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "sfumato.service" not in done.stderr, done.stderr
    unit.write_text(unit.read_text().replace("DynamicUser=", "DynamicUsr="))
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    assert "DynamicUsr" in done.stderr, "the check could not fail"


def test_what_is_for_operators_is_on_loopback() -> None:
    assert SETTINGS["prometheus"]["bind_addresses"] == "127.0.0.1"
    assert "--web.listen-address=127.0.0.1:9090" in SERVICES["prometheus"]["command"]
    assert SERVICES["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"


def test_the_server_finds_its_settings_and_no_secret_is_in_them() -> None:
    server = SERVICES["sfumato"]
    assert mounts("sfumato")[server["environment"]["SFUMATO_CONFIG"]] == ROOT / "deploy" / "sfumato.yaml"
    assert "keys" not in SETTINGS and server["environment"]["SFUMATO_KEYS"].startswith("${SFUMATO_KEYS:?")
    # An empty variable would be a wrong address; one without a value is passed on only where it is set.
    assert server["environment"]["SFUMATO_NODE_IP"] is None


def test_prometheus_scrapes_the_server_under_the_job_of_the_alerts() -> None:
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in PROMETHEUS["scrape_configs"]}
    assert jobs["sfumato"] == [f"127.0.0.1:{at(SETTINGS, 'prometheus.port')}"]
    (pattern,) = PROMETHEUS["rule_files"]
    rules = [path for inside, path in mounts("prometheus").items() if Path(inside).match(pattern)]
    assert rules == [ROOT / "helm" / "sfumato" / "rules" / "sfumato.yaml"] and RULES["groups"]


@pytest.mark.prometheus
def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    moved = PROMETHEUS | {"rule_files": [str(ROOT / "helm" / "sfumato" / "rules" / "*.yaml")]}
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(moved))
    done = subprocess.run(["promtool", "check", "config", file], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "1 rule files found" in done.stdout, done.stdout + done.stderr


def test_grafana_shows_the_dashboard_of_the_chart() -> None:
    (provider,) = yaml.safe_load((ROOT / "deploy" / "grafana" / "dashboards.yaml").read_text())["providers"]
    folder = mounts("grafana")[provider["options"]["path"]]
    assert [file.name for file in folder.iterdir()] == ["sfumato.json"]
    (source,) = yaml.safe_load((ROOT / "deploy" / "grafana" / "datasources.yaml").read_text())["datasources"]
    assert source["url"] == "http://127.0.0.1:9090" and source["isDefault"]
