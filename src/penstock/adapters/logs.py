"""Log lines on standard error: for people or as JSON, with the request id where there is one, never with a secret."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

_SECRET_KEYS = frozenset(
    {
        "authorization",
        "token",
        "token_value",
        "access_token",
        "password",
        "secret",
        "client_secret",
        "assertion",
        "string_value",
        "bytes_value",
        "api_key",
        "master_key",
    }
)
# Our own values, whatever comes behind Bearer or Basic, and passwords in URLs.
_SECRET_VALUES = re.compile(
    r"\b(dapi|dose|doat)[0-9a-f]{8,}|\b((?i:bearer|basic) )[\w.~+/=-]{8,}|(://[^/:@\s]+:)[^/@\s]+@"
)
_REDACTED = "[redacted]"


def start_logging(log_format: str, level: str, stream: TextIO | None = None) -> None:
    """Sends the lines of structlog and of the standard library to one handler on `stream`.

    `log_format` is "human" or "json"; `level` the least level's name.
    """
    stream = stream or sys.stderr
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(log_format, colors=stream.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "alembic", "aiosqlite", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _renderers(log_format: str, *, colors: bool) -> list[structlog.types.Processor]:
    if log_format == "json":
        return [structlog.processors.format_exc_info, redact, structlog.processors.JSONRenderer()]
    plain = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    return [structlog.processors.format_exc_info, redact, plain]


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Takes secrets out of a line: whole values under telling keys, and what looks like a token anywhere."""
    for key, value in event.items():
        if key.lower() in _SECRET_KEYS:
            event[key] = _REDACTED
        elif isinstance(value, str):
            event[key] = _SECRET_VALUES.sub(_hidden, value)
    return event


def _hidden(found: re.Match[str]) -> str:
    prefix, scheme, user = found.groups()
    if user:
        return f"{user}{_REDACTED}@"
    return f"{prefix or scheme}{_REDACTED}"
