"""Owns, for each alert, series under which it fires and series near to them under which it does not, in promtool's notation.

A series without labels is given `job` and `instance`. Samples are 15 s apart.
"""

from dataclasses import dataclass

Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    fires: Series
    quiet: Series
    # When it is looked at.
    at: str = "30m"


def steady(value: float, minutes: int = 60) -> str:
    return f"{value}x{minutes * 4}"


def growing(per_second: float, minutes: int = 60) -> str:
    return f"0+{per_second * 15}x{minutes * 4}"


def buckets(name: str, counts: dict[str, float], labels: str = "") -> Series:
    """A histogram whose cumulative buckets grow by so many observations a second."""
    series = {f'{name}_bucket{{le="{bound}"{labels}}}': growing(count) for bound, count in counts.items()}
    count_labels = f"{{{labels.lstrip(',')}}}" if labels else ""
    return series | {f"{name}_count{count_labels}": growing(counts["+Inf"])}


LAG, DELAY = "sfumato_shard_loop_lag_seconds", "sfumato_forwarding_delay_seconds"
FIRST = "sfumato_first_media_duration_seconds"
EXPIRY = "sfumato_tls_certificate_expiry_timestamp_seconds"
ICE, DTLS = "sfumato_ice_outcomes_total", "sfumato_dtls_outcomes_total"
DROPPED = "sfumato_datagrams_dropped_total"
LAYERS = "sfumato_subscriptions_by_layer"
RTP, RTX = "sfumato_rtp_packets_sent_total", "sfumato_rtx_packets_sent_total"
DAY = 86_400

CASES: dict[str, Case] = {
    "SfumatoDown": Case({"up": "1x10 0x20"}, {"up": "1x10 0x3 1x17"}, at="5m"),
    "SfumatoAbsent": Case({"up{job='other'}": "1x40"}, {"up": "0x40"}, at="8m"),
    "SfumatoRestarts": Case(
        {"process_start_time_seconds": "1x20 100x20 200x20 300x20"},
        {"process_start_time_seconds": "1x20 100x20 200x40"},
        at="20m",
    ),
    "SfumatoNotReady": Case(
        {"sfumato_ready": steady(0), "sfumato_draining": steady(0), "sfumato_overloaded": steady(0)},
        {"sfumato_ready": steady(0), "sfumato_draining": steady(1), "sfumato_overloaded": steady(0)},
    ),
    "SfumatoDrainTakesLong": Case(
        {"sfumato_draining": steady(1, 300)},
        {"sfumato_draining": "1x900 0x60 1x240"},
        at="4h5m",
    ),
    "SfumatoCertificateExpires": Case(
        {EXPIRY: steady(13 * DAY, 120)},
        # None is used.
        {EXPIRY: steady(0, 120)},
        at="70m",
    ),
    "SfumatoCertificateExpiresSoon": Case({EXPIRY: steady(DAY)}, {EXPIRY: steady(3 * DAY)}),
    "SfumatoCertificateRefused": Case(
        {'sfumato_tls_reloads_total{outcome="refused"}': "0x40 1x80"},
        {'sfumato_tls_reloads_total{outcome="loaded"}': "0x40 1x80"},
        at="15m",
    ),
    "SfumatoFileDescriptors": Case(
        {"process_open_fds": steady(820), "process_max_fds": steady(1000)},
        {"process_open_fds": steady(780), "process_max_fds": steady(1000)},
    ),
    "SfumatoOverloaded": Case({"sfumato_overloaded": steady(1)}, {"sfumato_overloaded": "0x100 1x3 0x20"}, at="26m"),
    "SfumatoJoinsShed": Case(
        {'sfumato_joins_shed_total{reason="busy"}': growing(1)},
        {'sfumato_joins_shed_total{reason="draining"}': growing(1)},
    ),
    "SfumatoShardBusy": Case(
        {'sfumato_shard_busy_ratio{shard="0"}': steady(0.3), 'sfumato_shard_busy_ratio{shard="1"}': steady(0.95)},
        {'sfumato_shard_busy_ratio{shard="0"}': steady(0.85), 'sfumato_shard_busy_ratio{shard="1"}': "0.95x110 0.5x30"},
    ),
    "SfumatoMemoryHigh": Case({"sfumato_memory_used_ratio": steady(0.85)}, {"sfumato_memory_used_ratio": steady(0.75)}),
    "SfumatoShardLag": Case(
        buckets(LAG, {"0.005": 97, "0.01": 100, "+Inf": 100}),
        buckets(LAG, {"0.005": 99.5, "0.01": 100, "+Inf": 100}),
    ),
    "SfumatoForwardingSlow": Case(
        buckets(DELAY, {"0.005": 97, "0.01": 100, "+Inf": 100}),
        buckets(DELAY, {"0.005": 99.5, "0.01": 100, "+Inf": 100}),
    ),
    "SfumatoShardQueueDrops": Case(
        {"sfumato_leg_packets_dropped_total": growing(1)}, {"sfumato_leg_packets_dropped_total": "7x240"}
    ),
    "SfumatoShardLinkLost": Case({"sfumato_legs_lost_total": "0x80 1x160"}, {"sfumato_legs_lost_total": "0x20 1x220"}, at="25m"),
    "SfumatoKernelDrops": Case({"sfumato_udp_receive_drops_total": growing(5)}, {"sfumato_udp_receive_drops_total": "900x240"}),
    "SfumatoSendErrors": Case(
        {"sfumato_udp_send_errors_total": growing(20), "sfumato_udp_sends_total": growing(1000)},
        {"sfumato_udp_send_errors_total": growing(5), "sfumato_udp_sends_total": growing(1000)},
    ),
    "SfumatoIceFailures": Case(
        {f'{ICE}{{outcome="connected"}}': growing(0.9), f'{ICE}{{outcome="timed_out"}}': growing(0.1)},
        # One of three is no trend; those who were lost later had been connected.
        {
            f'{ICE}{{outcome="connected"}}': "0x60 2x180",
            f'{ICE}{{outcome="timed_out"}}': "0x60 1x180",
            f'{ICE}{{outcome="lost"}}': growing(1),
        },
        at="20m",
    ),
    "SfumatoDtlsFailures": Case(
        {
            f'{DTLS}{{outcome="connected"}}': growing(0.9),
            f'{DTLS}{{outcome="failed"}}': growing(0.02),
            f'{DTLS}{{outcome="fingerprint_mismatch"}}': growing(0.02),
        },
        {
            f'{DTLS}{{outcome="connected"}}': growing(0.99),
            f'{DTLS}{{outcome="failed"}}': growing(0.01),
            f'{DTLS}{{outcome="fingerprint_mismatch"}}': growing(0),
        },
    ),
    "SfumatoStrangers": Case(
        {f'{DROPPED}{{reason="unknown_address"}}': growing(60_000), f'{DROPPED}{{reason="stun_unauthenticated"}}': growing(60_000)},
        {f'{DROPPED}{{reason="unknown_address"}}': growing(90_000), f'{DROPPED}{{reason="malformed"}}': growing(90_000)},
    ),
    "SfumatoSrtpFailures": Case(
        {f'{DROPPED}{{reason="srtp_replayed"}}': growing(60), f'{DROPPED}{{reason="srtp_unauthenticated"}}': growing(60)},
        {f'{DROPPED}{{reason="srtp_replayed"}}': growing(60), f'{DROPPED}{{reason="unknown_address"}}': growing(60)},
    ),
    "SfumatoSlowJoins": Case(
        buckets(FIRST, {"1.0": 8, "2.0": 9, "3.0": 10, "+Inf": 10}),
        buckets(FIRST, {"1.0": 9, "2.0": 9.8, "3.0": 10, "+Inf": 10}),
    ),
    "SfumatoFreezes": Case(
        {
            "sfumato_freeze_seconds_total": growing(2),
            f'{LAYERS}{{layer="high"}}': steady(60),
            f'{LAYERS}{{layer="low"}}': steady(40),
            f'{LAYERS}{{layer="none"}}': steady(900),
        },
        {"sfumato_freeze_seconds_total": growing(2), f'{LAYERS}{{layer="high"}}': steady(300)},
    ),
    "SfumatoRetransmissions": Case({RTP: growing(800), RTX: growing(100)}, {RTP: growing(950), RTX: growing(50)}),
    "SfumatoKeyframeRequests": Case(
        {"sfumato_keyframe_requests_sent_total": growing(6), "sfumato_video_tracks": steady(10)},
        {"sfumato_keyframe_requests_sent_total": growing(4), "sfumato_video_tracks": steady(10)},
    ),
    "SfumatoLoss": Case(
        buckets("sfumato_loss_ratio", {"0.05": 7, "0.1": 8, "+Inf": 10}, ',direction="sent"'),
        buckets("sfumato_loss_ratio", {"0.05": 9, "0.1": 10, "+Inf": 10}, ',direction="received"'),
    ),
}
