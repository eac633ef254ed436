"""A client as data, the ready sets of a turn, and the protocol that a mode implements.

This package makes no system call.
"""
