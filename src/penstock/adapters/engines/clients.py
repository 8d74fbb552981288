"""The clients of all kinds of engines as one: an engine's address says which of them speaks with it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from penstock.adapters.engines.client import HttpEngineClient
from penstock.adapters.engines.vllm_address import is_vllm
from penstock.adapters.engines.vllm_client import VllmClient
from penstock.domain.model import Task
from penstock.domain.usage import Usage


class EngineClients:
    """See `penstock.ports.engine.EngineClient`."""

    def __init__(self) -> None:
        self._ours = HttpEngineClient()
        self._vllm = VllmClient()

    async def healthy(self, address: str) -> bool:
        """As its client says."""
        return await self._of(address).healthy(address)

    async def kv_tokens(self, address: str) -> int:
        """As its client says."""
        return await self._of(address).kv_tokens(address)

    async def load_adapter(self, address: str, name: str, folder: Path) -> str:
        """By its client."""
        return await self._of(address).load_adapter(address, name, folder)

    async def drop_adapter(self, address: str, name: str) -> None:
        """By its client."""
        await self._of(address).drop_adapter(address, name)

    async def measure(
        self, address: str, task: Task, tokens: Sequence[int], tokens_out: int, told: Callable[[int], None]
    ) -> None:
        """By its client."""
        await self._of(address).measure(address, task, tokens, tokens_out, told)

    async def cancel(self, address: str, request_id: str) -> Usage | None:
        """By its client."""
        return await self._of(address).cancel(address, request_id)

    def _of(self, address: str) -> HttpEngineClient:
        return self._vllm if is_vllm(address) else self._ours
