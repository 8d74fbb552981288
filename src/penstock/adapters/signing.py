"""Signed addresses by HMAC-SHA-256 under a key file."""

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import astuple
from pathlib import Path

from penstock.domain.errors import PenstockError
from penstock.ports.signer import Grant

KEY_BYTES = 32


class HmacSigner:
    """See `penstock.ports.signer.Signer`."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, path: Path) -> "HmacSigner":
        """With the key in that file, which is made for the server's user alone if it is not there.

        Raises PenstockError if the file does not hold a whole key. Blocks.
        """
        if not path.exists():
            _make(path)
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise PenstockError(
                f"The key file {path} is damaged: it must hold {KEY_BYTES} bytes. Remove it for a new one."
            )
        return cls(key)

    def sign(self, grant: Grant) -> str:
        """The signature, 64 hexadecimal digits."""
        return hmac.new(self._key, json.dumps(astuple(grant)).encode(), hashlib.sha256).hexdigest()

    def verify(self, grant: Grant, signature: str) -> bool:
        """Whether the signature is the grant's."""
        return hmac.compare_digest(self.sign(grant).encode(), signature.encode(errors="replace"))


def _make(path: Path) -> None:
    """Makes the file whole or not at all; another process may be doing the same, and then its key counts."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_bytes(KEY_BYTES))
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(fresh, path)
    except FileExistsError:
        return
    finally:
        fresh.unlink()
