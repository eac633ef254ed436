"""The bounds that a hub keeps under load, measured from outside: `python -m bench.bounds`."""
