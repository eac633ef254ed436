"""What a line means: echo, broadcast, and chat with its commands.

A mode appends and marks; it must not call the loop and knows no socket.
"""
