"""Owns what the chart, the alerts and the dashboard name although the server of this tree does not have it yet: to be empty.

One test for each of the two sets fails when something in it exists by now: take it out then.
"""

# Keys and flags of src/config/settings.rs.
SETTINGS: set[str] = {
    "drain.grace",
    "drain.spread",
    "limit.memory_percent",
    "limit.shard_busy_percent",
    "tracing.otlp_endpoint",
}
# Metrics that a scrape does not show.
METRICS: set[str] = {
    "sfumato_draining",
    "sfumato_joins_shed_total",
    "sfumato_memory_used_ratio",
    "sfumato_overloaded",
    "sfumato_ready",
    "sfumato_tls_certificate_expiry_timestamp_seconds",
    "sfumato_tls_reloads_total",
}
# Pages of docs/.
PAGES: set[str] = {"debugging.md", "tls.md", "upgrade.md"}
