"""Bodies for servers of OpenAI's wire: as they came, but for the model's name and what is added. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import msgspec
from msgspec import Raw

from penstock.adapters.providers.asking import OURS
from penstock.domain.errors import ProviderFailed
from penstock.domain.external_forms import ProviderKind
from penstock.domain.model import Task
from penstock.ports.provider import ProviderCall

BOUNDS = ("max_tokens", "max_completion_tokens")
"""What servers call the most tokens of an answer: nearly all the first, the newest models of OpenAI only the second."""
_OPTIONS = "stream_options"
_USAGE = Raw(b'{"include_usage":true}')
_OF_BOUNDS = (b"token", b"context")

_fields = msgspec.json.Decoder(dict[str, Raw])


@dataclass(frozen=True, slots=True)
class Extras:
    """What is added where the client says nothing of it: a wish for the usage of streams, and the bound of an answer.

    `bounds` are the names for the bound that are not known to be refused, of which the first is sent.
    """

    usage: bool = True
    bounds: tuple[str, ...] = BOUNDS

    def without(self, refusal: bytes, added: Collection[str]) -> "Extras | None":
        """What is left to ask with after a refusal in these words; None if they are not about what was `added`.

        A bound may be refused by its name, or because the prompt leaves less room, and then the answer is short anyway.
        """
        words = refusal.lower()
        if _OPTIONS in added and _OPTIONS.encode() in words:
            return replace(self, usage=False)
        if self.bounds and self.bounds[0] in added and any(word in words for word in _OF_BOUNDS):
            named = any(name.encode() in words for name in BOUNDS)
            return replace(self, bounds=self.bounds[1:] if named else ())
        return None

    def learned(self, begun: "Extras") -> "Extras":
        """What to begin with the next time, where this came of what was `begun` with: the name that was taken first.

        A bound that was not taken by any name says nothing of the next prompt.
        """
        if not self.bounds:
            return replace(self, bounds=begun.bounds)
        taken = self.bounds[0]
        return replace(self, bounds=(taken, *(name for name in BOUNDS if name != taken)))


def body_for(call: ProviderCall, extras: Extras) -> tuple[bytes, frozenset[str]]:
    """The body to send, and the fields that were added to it. Raises ProviderFailed if it is no JSON object."""
    try:
        fields = _fields.decode(call.body)
    except msgspec.DecodeError:
        raise ProviderFailed("The request is not a JSON object.") from None
    databricks = call.model.provider is ProviderKind.DATABRICKS
    if not databricks:
        for name in OURS:
            fields.pop(name, None)
    fields["model"] = Raw(msgspec.json.encode(call.model.name))
    added = _bound(call, fields, extras)
    if extras.usage and call.streaming and not databricks and not _says(fields, _OPTIONS):
        fields[_OPTIONS] = _USAGE
        added |= {_OPTIONS}
    return msgspec.json.encode(fields), added


def _bound(call: ProviderCall, fields: dict[str, Raw], extras: Extras) -> frozenset[str]:
    """Bounds the answer by the names that the client used. Completions without a bound are short by their API."""
    if call.most is None:
        return frozenset()
    said = [name for name in BOUNDS if _says(fields, name)]
    names = said or (extras.bounds[:1] if call.model.task is Task.CHAT else ())
    for name in names:
        fields[name] = Raw(b"%d" % call.most)
    return frozenset(names).difference(said)


def _says(fields: dict[str, Raw], name: str) -> bool:
    return name in fields and bytes(fields[name]).strip() != b"null"
