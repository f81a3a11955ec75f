"""Owns rendering the chart with the real helm, and looking things up in what comes out."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "sfumato"
TOOLS = Path(__file__).resolve().parent / ".tools"
HELM = TOOLS / "helm"
COMPOSE_SCHEMA = TOOLS / "compose-spec.json"
RELEASE = "meet"
NAMESPACE = "calls"
HELM_SECONDS = 60
# Schemas of what is asked of a cluster at least, and of the newest there are here.
KUBERNETES = ("1.28", "1.37")

Values = dict[str, Any]
Manifest = dict[str, Any]


class Refused(Exception):
    """helm did not render; the text is what it told the operator."""


def helm(*arguments: str, values: Values | None = None) -> str:
    """What a helm command prints. Values go in as JSON, which is YAML."""
    command = [str(HELM), *arguments]
    if values is not None:
        command += ["--values", "-"]
    done = subprocess.run(
        command,
        input=json.dumps(values) if values is not None else None,
        capture_output=True,
        text=True,
        timeout=HELM_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


def render(values: Values, kubernetes: str = KUBERNETES[-1]) -> "Rendered":
    text = helm(
        "template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--kube-version", kubernetes, values=values
    )
    return Rendered([manifest for manifest in yaml.safe_load_all(text) if manifest])


def notes(values: Values) -> str:
    """NOTES.txt as an operator sees it after an installation."""
    text = helm(
        "install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--dry-run=client", "--hide-secret", values=values
    )
    return text.split("NOTES:", 1)[1]


class Rendered:
    """The manifests of one rendering."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self.manifests = manifests

    def of(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def one(self, kind: str) -> Manifest:
        (found,) = self.of(kind)
        return found

    def named(self, kind: str, name: str) -> Manifest:
        (found,) = [manifest for manifest in self.of(kind) if manifest["metadata"]["name"] == name]
        return found

    @property
    def workload(self) -> Manifest:
        (found,) = self.of("Deployment") + self.of("DaemonSet")
        return found

    @property
    def pod(self) -> Manifest:
        return self.workload["spec"]["template"]

    @property
    def container(self) -> Manifest:
        (found,) = self.pod["spec"]["containers"]
        return found

    @property
    def environment(self) -> dict[str, Any]:
        """A variable's value, or where it comes from."""
        return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in self.container["env"]}

    @property
    def config(self) -> dict[str, Any]:
        """The server's configuration file."""
        name = next(volume["configMap"]["name"] for volume in self.pod["spec"]["volumes"] if volume["name"] == "config")
        return yaml.safe_load(self.named("ConfigMap", name)["data"]["sfumato.yaml"]) or {}


def at(tree: Any, path: str, default: Any = None) -> Any:
    """The value at a path by dots."""
    for step in path.split("."):
        if not isinstance(tree, dict) or step not in tree:
            return default
        tree = tree[step]
    return tree


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value that is no mapping with keys, under its path by dots."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path, tree
