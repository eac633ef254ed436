"""A hub on a network that exists only in memory: see docs/design/testing.md."""
