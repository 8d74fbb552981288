"""Encryption of secrets at rest."""

from typing import Protocol

from penstock.domain.secret import Sealed, SecretRef


class Cipher(Protocol):
    """Seals values so that they can be neither read, altered, nor moved to another scope or key, without the key."""

    @property
    def key_id(self) -> str:
        """The id of the key that seals; tells nothing of the key."""
        ...

    def knows(self, key_id: str) -> bool:
        """Whether it can open what was sealed under that key."""
        ...

    def seal(self, ref: SecretRef, value: bytes) -> Sealed:
        """The value of that secret, encrypted; every call gives another result."""
        ...

    def open(self, ref: SecretRef, sealed: Sealed) -> bytes:
        """The value again; raises PenstockError if its key is not known or it was altered or is another secret's."""
        ...
