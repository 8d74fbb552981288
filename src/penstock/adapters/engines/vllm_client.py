"""Control calls to vLLM, in its own words."""

import re
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar

from penstock.adapters.engines import vllm_wire
from penstock.adapters.engines.client import (
    ADAPTER_S,
    AWAY,
    HEALTH_S,
    HttpEngineClient,
    broke_off,
    check_status,
    session_with,
)
from penstock.adapters.models.peft import adapter_folder
from penstock.domain.usage import UNTOLD, Usage

_OF_WORKER = re.compile(r"Worker failed with error '(.*)', please check", re.DOTALL)


class VllmClient(HttpEngineClient):
    """Speaks over what `vllm_address` makes of a place."""

    counting: ClassVar[dict[str, bool]] = {"include_usage": True, "continuous_usage_stats": True}

    async def kv_tokens(self, address: str) -> int:
        """As its metrics tell."""
        try:
            async with session_with(address, HEALTH_S) as session, session.get("/metrics") as answer:
                return vllm_wire.kv_tokens(await answer.read())
        except AWAY as error:
            raise broke_off(error) from error

    async def load_adapter(self, address: str, name: str, folder: Path) -> str:
        """POST /v1/load_lora_adapter. An engine that goes on without it has refused it, whatever the status says."""
        files = adapter_folder(folder) or folder
        status, message = await _adapter(address, "load", {"lora_name": name, "lora_path": str(files)})
        if status == HTTPStatus.OK or "already been loaded" in message:
            return ""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not (message and await self.healthy(address)):
            check_status(status, message)
        found = _OF_WORKER.search(message)
        return found[1] if found else message

    async def drop_adapter(self, address: str, name: str) -> None:
        """POST /v1/unload_lora_adapter."""
        status, message = await _adapter(address, "unload", {"lora_name": name})
        if status != HTTPStatus.NOT_FOUND:
            check_status(status, message)

    async def cancel(self, address: str, request_id: str) -> Usage | None:  # noqa: ARG002 - it has no such call
        """UNTOLD: it ends by itself what nobody waits for any more."""
        return UNTOLD


async def _adapter(address: str, verb: str, body: dict[str, str]) -> tuple[int, str]:
    """The status, and the message of an error."""
    try:
        async with (
            session_with(address, ADAPTER_S) as session,
            session.post(f"/v1/{verb}_lora_adapter", json=body) as answer,
        ):
            return answer.status, vllm_wire.message_of(await answer.read())
    except AWAY as error:
        raise broke_off(error) from error
