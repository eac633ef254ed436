"""Bytes in, lines out, and lines as bytes on each kind of wire.

This package must not know a socket, a client or a room.
"""
