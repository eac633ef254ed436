"""A room is a log, a subscriber is an offset: chunks, rooms, and what each subscriber will receive.

This package must not know a socket, a client or a clock.
"""
