"""A live server's metrics: promtool finds no fault with them, a real Prometheus scrapes them while people meet, and they tell what
happened; nobody's name is in them, and there are no more series with people than without."""

import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from prometheus import Prometheus
from scrape import Scrape, load, scrape
from server import Server, binary

ROOM = "board-meeting-of-acme"
VIEWERS = 3
LOAD = ["--viewers", str(VIEWERS), "--duration", "6", "--warmup", "1", "--video-rate", "50", "--room", ROOM]
PROMTOOL_SECONDS = 20
START_SECONDS = 20
# Kinds that the load has, both ways.
KINDS = ["audio", "video", "rtcp", "data"]


@pytest.fixture
def tools() -> None:
    if not (shutil.which("promtool") and shutil.which("prometheus")):
        pytest.skip("no prometheus: scripts/setup-system test says how to get it")


class Meeting:
    """Scrapes before anybody came and after everybody left, and the Prometheus that watched, where there is one."""

    def __init__(self, server: Server, prometheus: Prometheus | None) -> None:
        self.server = server
        self.prometheus = prometheus
        self.before = scrape(server)
        load(server, "fanout", *LOAD)
        self.after = scrape(server)

    def grown(self, name: str, **labels: str) -> float:
        return self.after.sum(name, **labels) - self.before.sum(name, **labels)


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meeting]:
    server = Server("--shards", "2", "--metrics-compatible-names")
    prometheus = None
    try:
        if shutil.which("prometheus"):
            prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), [server.metrics_url.split("/")[2]], [])
            # Rates need a sample from before anybody came.
            prometheus.wait_for("sfumato_participants", 10)
        yield Meeting(server, prometheus)
    finally:
        if prometheus:
            prometheus.stop()
        server.stop()


def promtool(text: str) -> str:
    """What `promtool check metrics` finds fault with."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, text=True, capture_output=True, timeout=PROMTOOL_SECONDS, check=False
    )
    return done.stdout + done.stderr


def own(text: str) -> str:
    """Without the names of other servers' dashboards, which do not keep to the conventions."""
    return "".join(line for line in text.splitlines(keepends=True) if "livekit_" not in line)


def test_promtool_finds_no_fault(tools: None, meeting: Meeting) -> None:
    for answer in [meeting.before, meeting.after]:
        assert promtool(own(answer.text)) == ""
    assert promtool("# HELP a_ms Time.\n# TYPE a_ms counter\na_ms 1\n") != "", "it finds some with this"


def test_prometheus_takes_every_sample(tools: None, meeting: Meeting) -> None:
    assert meeting.prometheus
    [target] = meeting.prometheus.get("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    [kept] = meeting.prometheus.numbers("scrape_samples_scraped == scrape_samples_post_metric_relabeling")
    assert kept == len(meeting.after.samples)


def test_prometheus_saw_the_meeting(tools: None, meeting: Meeting) -> None:
    assert meeting.prometheus
    most = meeting.prometheus.numbers
    assert most("max_over_time(sfumato_participants[1m])") == [VIEWERS + 1]
    assert most("max_over_time(sfumato_subscriptions[1m])") == [2 * VIEWERS]
    assert most('max_over_time(sfumato_subscriptions_by_layer{layer="single"}[1m])') == [VIEWERS]
    [delay] = most("histogram_quantile(0.5, sum by (le) (rate(sfumato_forwarding_delay_seconds_bucket[1m])))")
    assert 0 < delay < 0.1
    [rate] = most('max_over_time(sum(rate(sfumato_packets_total{direction="sent"}[3s]))[1m:1s])')
    assert rate > 50 * VIEWERS


def test_packets_are_counted_alike_under_each_name(meeting: Meeting) -> None:
    media = [meeting.grown("sfumato_packets_total", direction="sent", kind=kind) for kind in ["audio", "video"]]
    assert sum(media) == meeting.grown("sfumato_rtp_packets_sent_total")
    assert sum(media) == meeting.grown("livekit_packet_total", direction="outgoing", transmission="initial")
    bytes_sent = [meeting.grown("sfumato_packet_bytes_total", direction="sent", kind=kind) for kind in ["audio", "video"]]
    assert sum(bytes_sent) == meeting.grown("sfumato_rtp_sent_bytes_total")
    assert sum(bytes_sent) == meeting.grown("livekit_packet_bytes", direction="outgoing", transmission="initial")
    for direction in ["received", "sent"]:
        for kind in KINDS:
            assert meeting.grown("sfumato_packets_total", direction=direction, kind=kind) > 0, (direction, kind)


def test_quality_is_told_by_reports(meeting: Meeting) -> None:
    for direction in ["received", "sent"]:
        reports = meeting.grown("sfumato_loss_ratio_count", direction=direction)
        assert reports > 0, direction
        assert meeting.grown("sfumato_jitter_seconds_count", direction=direction) == reports
    assert meeting.grown("sfumato_round_trip_time_seconds_count") > 0
    # Over loopback nothing takes half a second.
    assert meeting.grown("sfumato_round_trip_time_seconds_bucket", le="0.5") > 0
    assert meeting.grown("sfumato_shard_loop_lag_seconds_count") > 0
    # A batch is one observation, whoever gets it.
    assert 0 < meeting.grown("sfumato_forwarding_delay_seconds_count") <= meeting.grown("sfumato_rtp_packets_received_total")


def test_the_server_knows_itself(meeting: Meeting) -> None:
    assert meeting.grown("process_cpu_seconds_total") > 0
    assert meeting.after.sum("process_resident_memory_bytes") > 1e6
    assert meeting.after.sum("sfumato_udp_receive_drops_total") >= 0
    assert meeting.after.sum("sfumato_build_info") == 1
    for shard in ["0", "1"]:
        assert 0 <= meeting.after.sum("sfumato_shard_busy_ratio", shard=shard) <= 1


def test_nobody_is_named_and_series_do_not_grow_with_people(meeting: Meeting) -> None:
    assert meeting.after.series == meeting.before.series
    for word in [ROOM, "viewer", "speaker", "127.0.0.1", "RM_", "PA_", "TR_"]:
        assert word not in meeting.after.text, word


def test_the_public_port_tells_no_metrics(meeting: Meeting) -> None:
    public = meeting.server.url.replace("ws", "http", 1)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{public}/metrics", timeout=5)
    assert refused.value.code == 404
    for probe in ["livez", "readyz"]:
        for place in [public, meeting.server.metrics_url.removesuffix("/metrics")]:
            with urllib.request.urlopen(f"{place}/{probe}", timeout=5) as answer:
                assert answer.status == 200, f"{place}/{probe}"


def test_a_second_server_on_the_same_port_says_which_flag(meeting: Meeting) -> None:
    port = meeting.server.metrics_url.split("/")[2].split(":")[1]
    command = [str(binary()), "--dev", "--port", "0", "--udp-port", "0", "--node-ip", "127.0.0.1", "--metrics-port", port]
    second = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert second.returncode != 0
    assert "--metrics-port" in second.stderr and port in second.stderr, second.stderr


def test_a_scrape_that_is_no_exposition_is_found(tmp_path: Path) -> None:
    for text in ["sfumato_rooms", 'sfumato_rooms{a="b" 1', "sfumato rooms 1"]:
        with pytest.raises(AssertionError):
            Scrape(text)
