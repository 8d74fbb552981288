"""Signed addresses: one permission each, so that whoever holds the address needs no token."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Grant:
    """What an address permits: `verb` (PUT, GET or DELETE) on one path of one storage until `expires_at` (epoch ms).

    `session` and `part` are those of a multipart upload, '' and 0 without one. `storage` ties the address to the
    version that it was made for, whatever is later found at the path.
    """

    verb: str
    storage: str
    path: str
    expires_at: int
    session: str = ""
    part: int = 0


class Signer(Protocol):
    """Signs with a key that only this server has."""

    def sign(self, grant: Grant) -> str:
        """The grant's signature, fit for a query string."""
        ...

    def verify(self, grant: Grant, signature: str) -> bool:
        """Whether the signature is the grant's; takes the same time for every wrong one."""
        ...
