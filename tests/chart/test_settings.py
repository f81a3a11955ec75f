"""The server takes the settings that the chart and compose.yaml give it, and begins to serve with them."""

from pathlib import Path

import pytest
import yaml

from cases import SECRET, matrix
from chart import ROOT, Rendered, render
from running import running

def assert_taken(settings: dict, keys: str, folder: Path) -> None:
    file, log = folder / "sfumato.yaml", folder / "log"
    file.write_text(yaml.safe_dump(settings))
    with running(log, SFUMATO_CONFIG=str(file), SFUMATO_KEYS=keys):
        pass
    for complaint in ("not supported", "is ignored", "WARN"):
        assert complaint not in log.read_text()


def keys_of(rendered: Rendered) -> str:
    source = rendered.environment["SFUMATO_KEYS"]["secretKeyRef"]
    return rendered.named("Secret", source["name"])["stringData"][source["key"]]


@pytest.mark.helm
@pytest.mark.parametrize("network", ["host", "host-shards", "loadbalancer", "nodeport"])
def test_the_server_takes_what_the_chart_gives_it(network: str, tmp_path: Path) -> None:
    rendered = render(matrix()[f"deployment/{network}/most"])
    assert_taken(rendered.config, keys_of(rendered), tmp_path)


def test_the_server_takes_what_compose_gives_it(tmp_path: Path) -> None:
    assert_taken(yaml.safe_load((ROOT / "deploy" / "sfumato.yaml").read_text()), f"my-key: {SECRET}", tmp_path)


def test_the_server_does_not_take_everything(tmp_path: Path) -> None:
    file = tmp_path / "sfumato.yaml"
    file.write_text("drane: {grace: 1}\n")
    with pytest.raises(AssertionError, match="unknown key"):
        with running(tmp_path / "log", SFUMATO_CONFIG=str(file), SFUMATO_KEYS=f"my-key: {SECRET}"):
            pass
