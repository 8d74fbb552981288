"""The client of running engines where some of them are vLLM's: those are told apart by their address."""

import asyncio
from http import HTTPStatus

from penstock.adapters.engines import vllm_wire
from penstock.adapters.engines.relay import EngineAnswer, EngineRelay
from penstock.adapters.engines.vllm_address import is_vllm, place_of
from penstock.domain.trace_context import TraceContext
from penstock.ports.relay import Answer

TOKENIZE = "/tokenize"


class VllmAnswer:
    """See `penstock.ports.relay.Answer`."""

    __slots__ = ("_answer", "_events", "content_type", "measured_s", "retry_after", "status")

    def __init__(self, answer: EngineAnswer, *, usage_wanted: bool) -> None:
        self._answer = answer
        self._events = vllm_wire.Events(usage_wanted=usage_wanted)
        self.status = answer.status
        # The event stream's has a charset, which ours has not; errors are JSON, whatever says it.
        self.content_type = answer.content_type if answer.status < HTTPStatus.BAD_REQUEST else b"application/json"
        self.retry_after = answer.retry_after
        self.measured_s = 0.0

    async def whole(self) -> bytes:
        """The body; of a refusal in our shape."""
        body = await self._answer.whole()
        return vllm_wire.spoken(body) if self.status < HTTPStatus.BAD_REQUEST else vllm_wire.refused(self.status, body)

    async def chunk(self) -> bytes:
        """Whole events."""
        while arrived := await self._answer.chunk():
            if events := self._events.feed(arrived):
                return events
        return self._events.rest()

    def close(self) -> None:
        """Breaks it off if it has not ended: vLLM then ends the request."""
        self._answer.close()


class VllmRelay:
    """See `penstock.ports.relay.Relay`; other engines are asked as they were."""

    def __init__(self, relay: EngineRelay) -> None:
        self._relay = relay

    async def open(
        self,
        address: str,
        path: str,
        body: bytes,
        request_id: str,
        *,
        namespace: str,
        adapter: str = "",
        patience_s: float = 0.0,
        trace: TraceContext | None = None,
    ) -> Answer:
        """Posts, to vLLM in its own words."""
        if not is_vllm(address):
            return await self._relay.open(
                address,
                path,
                body,
                request_id,
                namespace=namespace,
                adapter=adapter,
                patience_s=patience_s,
                trace=trace,
            )
        asked = vllm_wire.parsed(body)
        # vLLM computes the lowest number first; what arrived earlier, with as much patience, is due earlier.
        due_ms = int((asyncio.get_running_loop().time() + patience_s) * 1000)
        if prompts := vllm_wire.open_ended(path, asked):
            room = await self._room(address, prompts, request_id, namespace)
            asked = {**asked, "max_tokens": room}
        said = vllm_wire.request(path, asked, namespace=namespace, priority=due_ms, adapter=adapter)
        answer = await self._relay.open(place_of(address), path, said, request_id, namespace=namespace, trace=trace)
        return VllmAnswer(answer, usage_wanted=vllm_wire.wants_usage(asked))

    async def _room(self, address: str, prompts: list[str | int], request_id: str, namespace: str) -> int | None:
        """Tokens that the context leaves beside the longest prompt; None where vLLM does not count."""
        longest = context = 0
        # Of prompts that are counted already only the context is not known, which each answer tells.
        for text in [one for one in prompts if isinstance(one, str)] or [""]:
            body = vllm_wire.to_count(text)
            answer = await self._relay.open(place_of(address), TOKENIZE, body, request_id, namespace=namespace)
            try:
                tokens, context = vllm_wire.counted(await answer.whole())
            finally:
                answer.close()
            longest = max(longest, tokens)
        longest = max(longest, *(one for one in prompts if isinstance(one, int)), 0)
        return max(context - longest, 1) if context else None

    async def close(self) -> None:
        """Closes the connections that are kept."""
        await self._relay.close()
