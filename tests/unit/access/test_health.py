"""Health asks every service, and waits for none forever."""

import asyncio

import pytest

from penstock.control import health
from penstock.control.health import Health
from penstock.domain.errors import Temporary


async def test_each_service_is_named_with_its_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "PATIENCE_S", 0.01)

    async def well() -> None:
        return None

    async def ill() -> None:
        raise Temporary("The disk is full.")

    async def silent() -> None:
        await asyncio.Event().wait()

    answers = await Health({"a": well, "b": ill, "c": silent}).ask()
    assert answers == {"a": "ok", "b": "The disk is full.", "c": "no answer within 0 s"}
