"""Owns what is skipped where a tool cannot be had: its reason is the one the script gave that would have fetched it."""

import shutil

import pytest

from chart import COMPOSE_SCHEMA, HELM


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "helm: needs the helm of scripts/setup-chart")
    config.addinivalue_line("markers", "compose_schema: needs the schema of compose files of scripts/setup-chart")
    config.addinivalue_line("markers", "openssl: needs the command openssl")
    config.addinivalue_line("markers", "prometheus: needs promtool and prometheus of the Debian package prometheus")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {}
    if not HELM.exists():
        missing["helm"] = "no helm: scripts/setup-chart says why"
    if not COMPOSE_SCHEMA.exists():
        missing["compose_schema"] = "no schema of compose files: scripts/setup-chart says why"
    if not (shutil.which("promtool") and shutil.which("prometheus")):
        missing["prometheus"] = "no prometheus: scripts/setup-system test says how to get it"
    if not shutil.which("openssl"):
        missing["openssl"] = "no openssl, to make a certificate with"
    for item in items:
        for mark, reason in missing.items():
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))
