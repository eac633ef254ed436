"""What a user may set: the settings, their values, their sources and the names that browsers may use.

This package knows no client and no socket.
"""
