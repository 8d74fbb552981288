"""`penstock secrets rotate`, on the database of a server that is stopped."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from penstock.adapters.crypto.cipher import AesGcmCipher
from penstock.adapters.crypto.master_key import new_key, read_file, write_file
from penstock.bootstrap.folder import claim_folder, open_store
from penstock.bootstrap.secrets import is_given, key_file, master_keys
from penstock.control.secret_rotation import reseal
from penstock.settings import Settings


@dataclass(frozen=True, slots=True)
class Rotated:
    """How many secrets were sealed anew, under which key; `made` if it was made for this, not given."""

    secrets: int
    key_id: str
    made: bool


async def rotate(settings: Settings) -> Rotated:
    """Seals every secret under the key that the settings give, or under a new one in the place of the one made before.

    May be interrupted and repeated at any point. Raises Conflict while the server runs, PenstockError if a former key
    is missing.
    """
    async with AsyncExitStack() as stack:
        await claim_folder(settings, stack)
        store = await open_store(settings, stack)
        made = not is_given(settings)
        if made:
            _add_key(settings)
        cipher = AesGcmCipher(master_keys(settings))
        count = await reseal(store, cipher)
        if made:
            write_file(key_file(settings), read_file(key_file(settings))[:1])
        return Rotated(count, cipher.key_id, made)


def _add_key(settings: Settings) -> None:
    """Puts a new key before the one in the file. Two in it are a rotation that was interrupted, which goes on."""
    file = key_file(settings)
    former = read_file(file) if file.exists() else []
    if len(former) <= 1:
        write_file(file, [new_key(), *former])
