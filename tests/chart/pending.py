"""Owns what the docs name although this tree does not have it yet: to be empty.

One test for each of the two sets fails when something in it exists by now: take it out then.
"""

# Keys and flags of src/config/settings.rs.
SETTINGS: set[str] = {"tracing.otlp_endpoint"}
# Pages of docs/.
PAGES: set[str] = set()
