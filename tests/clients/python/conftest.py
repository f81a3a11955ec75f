"""Owns what the tests share: one server for the whole run, whose log is shown when a test fails, and a fresh room for each test."""

import uuid
from collections.abc import Iterator

import pytest

from meeting import Meeting
from server import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    running = Server("--shards", "2")
    yield running
    running.stop()


@pytest.fixture
def meeting(server: Server, request: pytest.FixtureRequest) -> Iterator[Meeting]:
    yield Meeting(server.url, f"room-{uuid.uuid4().hex[:8]}")
    report = getattr(request.node, "report_of_call", None)
    if report is not None and report.failed:
        print(f"--- the server's log ---\n{server.log()}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    if report.when == "call":
        item.report_of_call = report
    return report
