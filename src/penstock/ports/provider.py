"""Providers of external models, as the data plane asks them: OpenAI's wire format on our side, whatever on theirs.

Contract. The body that is asked has OpenAI's shape for the model's task, and so has every answer below 400: an adapter
of another wire translates. What is not known is passed on where it can be. A provider that cannot be reached, breaks
off or does not answer in time is `ProviderFailed`; one that answers with an error status is an answer, with its own
body. Nothing is asked twice once a byte of an answer has come.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from penstock.domain.external_model import ExternalModel
from penstock.domain.secret import Hidden, SecretRef
from penstock.domain.trace_context import TraceContext


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """One request to an external model: the body as its client sent it, with the model's secrets by field.

    An answer may have `most` tokens, None for what the body says; it is less than that, or the body does not say.
    It is part of a `trace` that is carried on, if of any.
    """

    model: ExternalModel
    secrets: Mapping[str, Hidden]
    body: bytes
    streaming: bool
    request_id: str
    most: int | None = None
    trace: TraceContext | None = None


class ProviderAnswer(Protocol):
    """What a provider answers. It must be closed, also after its end, and may be closed at any time."""

    status: int
    content_type: bytes
    retry_after: bytes
    """The provider's `Retry-After` as it was sent, empty if it sent none."""

    async def whole(self) -> bytes:
        """The whole body; raises ProviderFailed if it breaks off."""
        ...

    async def events(self) -> bytes:
        """The next events of a stream as they come, each whole; empty at the end.

        An event is `data: ` with a JSON object on one line and an empty line after it, nothing else; the last is
        `data: [DONE]`, or one with an error. The one before it should tell the usage, with no choices, whether or not
        the client asked for that: whoever passes it on takes it out. Raises ProviderFailed if the answer breaks off.
        """
        ...

    def close(self) -> None:
        """Gives the connection back, or breaks it off when the body has not ended. Safe to repeat."""
        ...


class Provider(Protocol):
    """A client of one provider or several; keeps connections. Safe from any task of the event loop."""

    def problem(self, model: ExternalModel) -> str:
        """Why this model cannot be asked here, as a sentence that names the field; empty if it can. No I/O."""
        ...

    async def open(self, call: ProviderCall) -> ProviderAnswer:
        """Asks, and returns when the answer begins; with events only if `call.streaming` and its status is below 400.

        Raises ProviderFailed, and InvalidRequest naming a field whose wish cannot be said in the provider's words.
        """
        ...


class SecretReader(Protocol):
    """Who reads secrets for requests."""

    async def resolve_as(self, ref: SecretRef, reader: str) -> Hidden:
        """The secret's text as a principal, by name, may read it now.

        Raises DoesNotExist, PermissionDenied, InvalidRequest if it is not text, Temporary if nobody can tell now.
        """
        ...
