"""The contest: hubbub against other servers, each on one core, in turns: `python -m bench.contest`."""
