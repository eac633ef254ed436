"""hubbub: a TCP line hub you can see inside. This package is the main thread: epoll, no asyncio."""

__version__ = "0.4.0"
