"""A parser driven by atheris: `python -m tests.fuzz.targets lines -max_total_time=120`."""
