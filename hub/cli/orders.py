"""`hubbub announce` and `hubbub drain`: an operator's orders to the hubs of a cluster."""

import importlib.util
import os
from typing import Annotated, Final

from cyclopts import CycloptsError, Parameter

from hub.cli.logs import own_line, say, write
from hub.config.settings import Settings, running
from hub.config.sources import CONFIG_FILE
from hub.config.values import FILE, TEXT, TOKEN

MISSING: Final = "--cluster: the package nats-py is missing; pip install 'hubbub[cluster]'"


_DEFAULTS = Settings()
_TO = Parameter(help="The name of a hub; '' is all of them.")


def announce(
    text: Annotated[str, Parameter(converter=TEXT, help="What is said, behind a star.")],
    /,
    settings: Annotated[Settings, Parameter(name="*", show=False)] = _DEFAULTS,
    *,
    hub: Annotated[str, running("--to", TOKEN), _TO] = "",
    config: Annotated[str, running("--config", FILE), Parameter(show=False)] = CONFIG_FILE,
) -> int:
    """Say a line of the operator's to everybody in a cluster, or on one hub of it.

    The cluster is that of --cluster; --cluster-creds, --cluster-ca and --mode apply.

    Exit codes: 0 some hub heard it, 1 none did, 2 wrong usage, 69 no link.
    """
    return _order(settings, "announce", text, hub)


def drain(
    settings: Annotated[Settings, Parameter(name="*", show=False)] = _DEFAULTS,
    *,
    hub: Annotated[str, running("--to", TOKEN), _TO] = "",
    config: Annotated[str, running("--config", FILE), Parameter(show=False)] = CONFIG_FILE,
) -> int:
    """End all hubs of a cluster, or one of it, as SIGTERM does: each drains.

    The cluster is that of --cluster; --cluster-creds, --cluster-ca and --mode apply.

    Exit codes: 0 some hub heard it, 1 none did, 2 wrong usage, 69 no link.
    """
    return _order(settings, "drain", "", hub)


def _order(settings: Settings, what: str, text: str, hub: str) -> int:
    """Send it, tell who heard it; the exit code. Raises CycloptsError for wrong settings."""
    if not settings.cluster:
        raise CycloptsError("--cluster: no value: the servers of the cluster's NATS, as serve has them")
    if importlib.util.find_spec("nats") is None:
        raise CycloptsError(MISSING)
    from cluster import operate
    from cluster.join import BadCredentials

    try:
        heard = operate.order(settings, what, text, hub)
    except BadCredentials as bad:
        raise CycloptsError(str(bad)) from None
    except operate.NoLink as error:
        say(2, own_line(f"no link to the cluster: {error}"))
        return os.EX_UNAVAILABLE
    if not heard:
        say(2, own_line(f"hub {hub} does not answer" if hub else "no hub answers"))
        return 1
    write(1, own_line(f"heard by {', '.join(f'hub {name}' for name in heard)}"))
    return os.EX_OK
