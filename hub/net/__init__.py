"""The kernel behind plain verbs: epoll and TCP sockets.

This package knows descriptors and bytes; it must not know a client, a line or a room.
"""
