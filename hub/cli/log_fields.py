"""The fields of a log record as text: logfmt for people and grep, JSON for programs.

Written here because a record must cost little while the loop waits for the interpreter (hub/cli/logs.py): the
renderer of structlog takes four times as long.
"""

import json
import math
from collections.abc import Mapping


def as_text(fields: Mapping[str, object]) -> str:
    """`key=value`, quoted where a value has blanks, quotes or an equals sign."""
    return " ".join([f"{key}={_shown(value)}" for key, value in fields.items()])


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "" if value is None else "true" if value else "false"
    text = str(value)
    if " " in text or "=" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        text = f'"{text}"'
    return text.replace("\n", "\\n")


def as_json(fields: Mapping[str, object]) -> str:
    """An object (RFC 8259). What JSON has no form for goes as text."""
    return json.dumps({key: _plain(value) for key, value in fields.items()}, default=str)


def _plain(value: object) -> object:
    """NaN and the infinities are no JSON numbers (RFC 8259, section 6): they go as text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
