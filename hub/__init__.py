"""hubbub: a TCP line hub you can see inside. This package is the main thread: epoll, no asyncio."""

from importlib.util import find_spec
from typing import Final

__version__ = "0.4.0"
BUILD: Final = "compiled" if find_spec("hub__mypyc") else "pure"
"""Whether the packages of the loop run as machine code (hatch_build.py) or interpreted."""
