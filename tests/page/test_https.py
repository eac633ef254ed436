"""The page over https and under a sub-path: nginx and Caddy, each with its file of deploy/."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.deploy.support import certificate, changed, free_port, page_port, running
from tests.e2e.programs import require
from tests.page.support import open_tab
from tests.support import HubProcess

pytestmark = pytest.mark.browser

NGINX = """\
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/hubbub.conf;
}}
"""
"""What /etc/nginx/nginx.conf is on a machine of its own; the file of deploy/ is included in it."""
CADDY = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"


@contextmanager
def nginx(hub: HubProcess, port: int, folder: Path) -> Iterator[None]:
    """nginx at this port."""
    changes = backends(hub) | {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "    listen [::]:443 ssl;\n": "",
        "/etc/hubbub/tls.pem": str(certificate(folder)),
    }
    (folder / "hubbub.conf").write_text(changed("nginx.conf", changes))
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
    command = [require("nginx"), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    with running(command, port, folder / "said"):
        yield


@contextmanager
def caddy(hub: HubProcess, port: int, folder: Path) -> Iterator[None]:
    """Caddy at this port, with a certificate of ours instead of one that it gets."""
    trusted = certificate(folder)
    changes = backends(hub) | {"hub.example {": f"localhost:{port} {{\n\ttls {trusted} {trusted}"}
    (folder / "Caddyfile").write_text(CADDY + changed("Caddyfile", changes))
    command = [require("caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    with running(["env", f"HOME={folder}", *command], port, folder / "said"):
        yield


def backends(hub: HubProcess) -> dict[str, str]:
    """The addresses of the files, and those of this hub."""
    return {"127.0.0.1:8080": f"127.0.0.1:{page_port(hub)}", "127.0.0.1:9001": f"127.0.0.1:{hub.ws_port}"}


@pytest.mark.promise("deploy-page")
@pytest.mark.parametrize("proxy", [nginx, caddy], ids=["nginx", "caddy"])
def test_page_view_and_pane_work_over_https_below_a_path(
    browser: Browser, proxy: object, tmp_path: Path
) -> None:
    port = free_port()
    flags = ("--allowed-host", "localhost", "--public-ws", f"wss://localhost:{port}/hub/ws")
    with (
        HubProcess(*flags) as hub,
        proxy(hub, port, tmp_path),
        open_tab(browser, ignore_https_errors=True) as tab,
        hub.peer() as peer,
    ):
        tab.open(f"https://localhost:{port}/hub")
        assert tab.page.url.startswith(f"https://localhost:{port}/hub/")
        tab["#chat-connect"].click()
        expect(tab["#chat-log"]).to_contain_text("welcome to hubbub")
        tab.say("by https")
        peer.send(b"by telnet\n")
        peer.read_until(b"> by https\n")
        expect(tab["#chat-log"]).to_contain_text("by telnet")
        expect(tab["#clients tbody"]).to_contain_text("websocket")
