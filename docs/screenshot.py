"""Make the README's picture of the live page anew: python docs/screenshot.py [FILE [SECONDS]].

Starts `hubbub demo` on free ports, lets it run for a while (240 s unless told), and takes a picture with
Debian's Chromium. Needs the dependency group `docs`: what the tests need, and Pillow, which makes the file
small.
"""

import io
import math
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter

from PIL import Image
from playwright.sync_api import sync_playwright

SIZE = {"width": 1440, "height": 900}
COLOURS = 256
TALK_S = 15
"""How long somebody is in the chat before the picture."""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
DEMO = [sys.executable, "-m", "hubbub", "demo", "--port", "0", "--ws-port", "0", "--web-port", "0"]


def main(path: str = "docs/page.png", seconds: str = "240") -> None:
    """Run the demo, look at it, end it."""
    with subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as demo:
        assert demo.stdout is not None
        try:
            for line in demo.stdout:
                if found := re.search(r"page on (\S+)", line):
                    write_small(take(found[1], float(seconds)), path)
                    break
        finally:
            demo.send_signal(signal.SIGINT)


def take(url: str, seconds: float) -> bytes:
    """The page as PNG after so many seconds, with somebody in the chat."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(url)
        page.wait_for_timeout(1000 * seconds)
        page.click("[data-preset=new]")
        for line in ("/nick grace", "hello from the page"):
            page.fill("#chat-line", line)
            page.press("#chat-line", "Enter")
            page.wait_for_selector("#chat-state:text-is('connected')")
        page.wait_for_timeout(1000 * TALK_S)
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement.blur()")
        picture = page.screenshot()
        browser.close()
        return picture


def write_small(picture: bytes, path: str) -> None:
    """The same with its commonest colours as palette: areas keep theirs exactly, edges get the nearest."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    data = image.tobytes()
    pixels = list(zip(data[::3], data[1::3], data[2::3], strict=True))
    palette = [colour for colour, _ in Counter(pixels).most_common(COLOURS)]
    nearest = {
        pixel: min(range(len(palette)), key=lambda at: math.dist(pixel, palette[at])) for pixel in set(pixels)
    }
    small = Image.frombytes("P", image.size, bytes(nearest[pixel] for pixel in pixels))
    small.putpalette([part for colour in palette for part in colour])
    small.save(path, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
