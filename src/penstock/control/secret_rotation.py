"""A new master key: everything that is sealed under others is sealed under it."""

from dataclasses import replace

from penstock.domain.errors import PenstockError
from penstock.ports.cipher import Cipher
from penstock.ports.store import Store

BATCH = 50


async def reseal(store: Store, cipher: Cipher) -> int:
    """Seals what is under other keys under the cipher's own, in units of 50; returns how many secrets that were.

    Each unit leaves every secret readable, so whoever is interrupted begins again. Raises PenstockError before anything
    is changed if a key is missing, and for a secret that was altered.
    """
    async with store.unit() as unit:
        counts = await unit.secrets.key_ids()
    missing = [f"{key_id} ({count} secrets)" for key_id, count in sorted(counts.items()) if not cipher.knows(key_id)]
    if missing:
        raise PenstockError(f"Secrets are sealed under master keys that were not given: {', '.join(missing)}.")
    done = 0
    while True:
        async with store.unit() as unit:
            records = await unit.secrets.sealed_under_others(cipher.key_id, BATCH)
            for record in records:
                value = cipher.open(record.ref, record.sealed)
                await unit.secrets.put(replace(record, sealed=cipher.seal(record.ref, value)))
        if not records:
            return done
        done += len(records)
