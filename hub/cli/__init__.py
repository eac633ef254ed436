"""The commands: serve, client, demo and health.

Only this package reads arguments, the environment and signals, and starts threads.
"""
