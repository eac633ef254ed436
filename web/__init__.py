"""The side thread: an asyncio loop, an aiohttp application, and nothing that the hub waits for."""
