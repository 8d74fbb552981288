"""AES-256-GCM under data keys that are derived from master keys; the contract is `penstock.ports.cipher`."""

import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from penstock.domain.errors import PenstockError
from penstock.domain.secret import Sealed, SecretRef

NONCE_BYTES = 12
ID_BYTES = 8


class AesGcmCipher:
    """Seals under the first master key (32 bytes each), and opens under all of them.

    What is sealed is a random nonce and the ciphertext with its tag; the secret's scope and key are authenticated
    with it, so a row that is copied to another place does not open there.
    """

    def __init__(self, master_keys: Sequence[bytes]) -> None:
        self._by_id = {_id_of(key): AESGCM(_derived(key, b"penstock secrets", 32)) for key in master_keys}
        self.key_id = _id_of(master_keys[0])

    def knows(self, key_id: str) -> bool:
        """Whether that key was given."""
        return key_id in self._by_id

    def seal(self, ref: SecretRef, value: bytes) -> Sealed:
        """Under the first key."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return Sealed(self.key_id, nonce + self._by_id[self.key_id].encrypt(nonce, value, _context(ref)))

    def open(self, ref: SecretRef, sealed: Sealed) -> bytes:
        """Under the key that it names; raises PenstockError."""
        key = self._by_id.get(sealed.key_id)
        if key is None:
            raise PenstockError(
                f"{ref} is sealed under the master key {sealed.key_id}, which the server does not have."
            )
        try:
            return key.decrypt(sealed.content[:NONCE_BYTES], sealed.content[NONCE_BYTES:], _context(ref))
        except (InvalidTag, ValueError) as error:
            raise PenstockError(f"{ref} cannot be opened: what is stored of it was altered.") from error


def _context(ref: SecretRef) -> bytes:
    # No name holds a slash.
    folded = ref.folded
    return f"{folded.scope}/{folded.key}".encode()


def _id_of(master_key: bytes) -> str:
    """Eight bytes that name a key and tell nothing of it."""
    return _derived(master_key, b"penstock key id", ID_BYTES).hex()


def _derived(master_key: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, None, purpose).derive(master_key)
