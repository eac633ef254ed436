"""The side thread: an asyncio loop, an aiohttp application, and nothing that the hub waits for.

aiohttp reads the machine's table of file types when it is imported, and one byte there that is no UTF-8 would
end the start. Nothing here asks for a type, so there is nothing to read.
"""

import mimetypes

mimetypes.knownfiles.clear()
