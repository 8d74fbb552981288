"""Who is told by e-mail how the updates of an endpoint end, and what they are told."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.domain.errors import InvalidParameter

MAX_ADDRESSES = 100
"""Most addresses of one list."""
_MAX_LENGTH = 254
_ADDRESS = re.compile(r"[^\s@,;:<>()\[\]\\\"]+@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)*")


@dataclass(frozen=True, slots=True)
class Notifications:
    """E-mail addresses, each once, by what they are told of."""

    on_update_failure: tuple[str, ...] = ()
    on_update_success: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.on_update_failure or self.on_update_success)


NOBODY = Notifications()


@dataclass(frozen=True, slots=True)
class Letter:
    """One e-mail, in plain text; `to` holds at least one address."""

    to: tuple[str, ...]
    subject: str
    text: str


def check_addresses(addresses: Sequence[str], field: str) -> tuple[str, ...]:
    """The addresses, each once; raises InvalidParameter naming the field and the address."""
    for address in addresses:
        if len(address) > _MAX_LENGTH or not address.isprintable() or not _ADDRESS.fullmatch(address):
            raise InvalidParameter(f"{field} must hold e-mail addresses, but holds {address[:80]!r}.")
    once = tuple(dict.fromkeys(addresses))
    if len(once) > MAX_ADDRESSES:
        raise InvalidParameter(f"{field} must hold at most {MAX_ADDRESSES} addresses, but holds {len(once)}.")
    return once


def letter(
    notifications: Notifications, endpoint: str, version: int, *, creator: str, failure: str | None
) -> Letter | None:
    """What is written when an update by `creator` has ended, None if nobody wants to know.

    `failure` says why it failed; None is success.
    """
    to = notifications.on_update_success if failure is None else notifications.on_update_failure
    if not to:
        return None
    how = "is served" if failure is None else "failed"
    lines = [
        f"Config version {version} of the serving endpoint '{endpoint}', wanted by {creator}, {how}.",
        *([failure] if failure else []),
    ]
    return Letter(to, f"Endpoint {endpoint}: config version {version} {how}", "\n\n".join(lines) + "\n")
