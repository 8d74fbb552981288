"""Providers of external models and their secrets, played by tests."""

import asyncio

from penstock.domain.access import Principal
from penstock.domain.errors import DoesNotExist, PenstockError, PermissionDenied, ProviderFailed
from penstock.domain.external_model import ExternalModel
from penstock.domain.secret import Hidden, SecretRef
from penstock.ports.provider import ProviderCall
from penstock.testing.relay import EVENTS, JSON


class FakeProviderAnswer:
    """See `penstock.ports.provider.ProviderAnswer`. Bytes are fed, then the end or a break."""

    def __init__(self, status: int = 200, *parts: bytes, streaming: bool = False) -> None:
        self.status = status
        self.content_type = EVENTS if streaming else JSON
        self.retry_after = b""
        self.closed = False
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.feed(*parts)
        if not streaming:
            self.feed(b"")

    def feed(self, *parts: bytes) -> None:
        """Sends bytes; empty ones are the end."""
        for part in parts:
            self._parts.put_nowait(part)

    def break_off(self) -> None:
        """The connection is lost."""
        self._parts.put_nowait(None)

    async def events(self) -> bytes:
        """What was fed next."""
        part = await self._parts.get()
        if part is None:
            raise ProviderFailed("The provider broke off.")
        return part

    async def whole(self) -> bytes:
        """All that is fed until the end."""
        parts = []
        while part := await self.events():
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        """Notes it."""
        self.closed = True


class FakeProvider:
    """See `penstock.ports.provider.Provider`. Answers by the model's name, in order; without one it waits for ever."""

    def __init__(self) -> None:
        self.calls: list[ProviderCall] = []
        self.problems: dict[str, str] = {}
        self._answers: dict[str, list[FakeProviderAnswer | PenstockError]] = {}

    def will(self, model: str, *answers: FakeProviderAnswer | PenstockError) -> None:
        """What the model answers next."""
        self._answers.setdefault(model, []).extend(answers)

    def problem(self, model: ExternalModel) -> str:
        """As set by the model's name."""
        return self.problems.get(model.name, "")

    async def open(self, call: ProviderCall) -> FakeProviderAnswer:
        """The next answer."""
        self.calls.append(call)
        answers = self._answers.get(call.model.name)
        if not answers:
            await asyncio.Event().wait()
            raise AssertionError
        answer = answers.pop(0)
        if isinstance(answer, PenstockError):
            raise answer
        return answer


class FakeSecrets:
    """See `penstock.ports.provider.SecretReader` and `penstock.control.external_models.SecretKeeper`.

    `asked` are the references that were read.
    """

    def __init__(self) -> None:
        self.texts: dict[SecretRef, str] = {}
        self.denied: set[str] = set()
        self.asked: list[SecretRef] = []
        self._made = 0

    async def resolve(self, ref: SecretRef, reader: Principal) -> Hidden:
        """By principal."""
        return await self.resolve_as(ref, reader.name)

    async def resolve_as(self, ref: SecretRef, reader: str) -> Hidden:
        """By name."""
        self.asked.append(ref)
        if reader in self.denied:
            raise PermissionDenied(f"{reader} does not have READ permission on scope {ref.scope}.")
        if ref not in self.texts:
            raise DoesNotExist(f"Secret does not exist with scope: {ref.scope} and key: {ref.key}")
        return Hidden(self.texts[ref])

    async def plant(self, owner: Principal, value: str) -> SecretRef:
        """Keeps it."""
        self._made += 1
        ref = SecretRef(f":{owner.id}", f"planted-{self._made}")
        self.texts[ref] = value
        return ref

    async def uproot(self, ref: SecretRef) -> None:
        """Forgets what was planted."""
        if ref.own:
            self.texts.pop(ref, None)
