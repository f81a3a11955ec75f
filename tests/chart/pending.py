"""Owns what the chart, the alerts and the dashboard name although the server of this tree does not have it yet: to be empty.

One test for each of the two sets fails when something in it exists by now: take it out then.
"""

# Keys and flags of src/config/settings.rs.
SETTINGS: set[str] = {
    "drain.grace",
    "drain.spread",
    "tls-cert",
    "tls-key",
}
# Metrics that a scrape does not show.
METRICS: set[str] = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "sfumato_draining",
    "sfumato_dtls_outcomes_total",
    "sfumato_first_frame_duration_seconds",
    "sfumato_first_media_duration_seconds",
    "sfumato_forwarding_delay_seconds",
    "sfumato_freeze_seconds_total",
    "sfumato_ice_outcomes_total",
    "sfumato_jitter_seconds",
    "sfumato_join_duration_seconds",
    "sfumato_joins_shed_total",
    "sfumato_loss_ratio",
    "sfumato_memory_used_ratio",
    "sfumato_overloaded",
    "sfumato_packet_bytes_total",
    "sfumato_packets_total",
    "sfumato_ready",
    "sfumato_round_trip_time_seconds",
    "sfumato_shard_loop_lag_seconds",
    "sfumato_subscriptions_by_layer",
    "sfumato_tls_certificate_expiry_timestamp_seconds",
    "sfumato_tls_reloads_total",
    "sfumato_udp_receive_drops_total",
    "sfumato_video_tracks",
}
