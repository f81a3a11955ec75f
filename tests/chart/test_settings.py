"""The server takes the settings that the chart and compose.yaml give it, and begins to serve with them."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

import pending
from cases import SECRET, matrix
from chart import ROOT, Rendered, render
from server import binary

READY_SECONDS = 20.0
STOP_SECONDS = 15.0
# Free ports on loopback in place of those that are configured: flags win over the file.
ELSEWHERE = ["--bind=127.0.0.1", "--port=0", "--udp-port=0", "--metrics-port=0", "--metrics-bind=127.0.0.1", "--node-ip=127.0.0.1"]


def serve(settings: Path, keys: str, log: Path) -> str:
    """Starts the server, waits for the line that comes last in what it says of itself, ends it; what it printed."""
    environment = {**os.environ, "SFUMATO_CONFIG": str(settings), "SFUMATO_KEYS": keys, "NO_COLOR": "1"}
    with log.open("w") as sink:
        child = subprocess.Popen([binary(), *ELSEWHERE], env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + READY_SECONDS
        while child.poll() is None and "media" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        # Its banner is one write; handlers of signals follow.
        time.sleep(0.3)
        child.send_signal(signal.SIGTERM)
        try:
            code = child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
    assert code == 0, log.read_text()
    return log.read_text()


def assert_taken(settings: dict, keys: str, folder: Path) -> None:
    wanted = {f"{section}.{key}" for section, inner in settings.items() if isinstance(inner, dict) for key in inner}
    if wanted & pending.SETTINGS:
        pytest.skip(f"{', '.join(sorted(wanted & pending.SETTINGS))} pending")
    file = folder / "sfumato.yaml"
    file.write_text(yaml.safe_dump(settings))
    printed = serve(file, keys, folder / "log")
    for complaint in ("not supported", "is ignored", "WARN"):
        assert complaint not in printed, printed


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
        serve(file, f"my-key: {SECRET}", tmp_path / "log")
