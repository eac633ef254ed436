"""Bytes in, lines out, and lines as bytes on each kind of wire.

It must not know a socket, a client or a room.
"""
