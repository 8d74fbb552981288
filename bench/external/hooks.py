"""Loaded by LiteLLM's proxy, in its environment: keys with limits per minute, and a line of usage for every request.

Its own keys and spend logs need PostgreSQL and the engine of its ORM, which is downloaded from a site of its maker;
its documentation has these two hooks for whoever has neither. The limits are enforced by its own limiter all the same.
"""

import json
import os

from fastapi import Request
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import UserAPIKeyAuth

PLENTY = 1_000_000_000


class UnknownKeyError(Exception):
    """Nobody has that key."""


async def key(_request: Request, api_key: str) -> UserAPIKeyAuth:
    """Who has the key, with its limits; the second of the two keys may ask once a minute."""
    if api_key == os.environ["BENCH_TOKEN"]:
        return UserAPIKeyAuth(api_key=api_key, user_id="bench", rpm_limit=PLENTY, tpm_limit=PLENTY)
    if api_key == os.environ["BENCH_LIMITED_TOKEN"]:
        return UserAPIKeyAuth(api_key=api_key, user_id="limited", rpm_limit=1, tpm_limit=PLENTY)
    raise UnknownKeyError


class Ledger(CustomLogger):
    """Appends to a file."""

    def __init__(self) -> None:
        super().__init__()
        self._file = os.open(os.environ["BENCH_LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time) -> None:  # noqa: ANN001, ARG002 - as LiteLLM calls it
        """One request was answered."""
        told = kwargs.get("standard_logging_object") or {}
        names = ("id", "model", "prompt_tokens", "completion_tokens", "startTime", "endTime", "status")
        line = {name: told.get(name) for name in names}
        os.write(self._file, json.dumps(line).encode() + b"\n")


ledger = Ledger()
