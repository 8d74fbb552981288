"""Wires secrets: the master keys that the settings name, and the use cases over them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog

from penstock.adapters.crypto.cipher import AesGcmCipher
from penstock.adapters.crypto.master_key import ask_command, new_key, parse_keys, read_file, write_file
from penstock.control.credentials import new_id
from penstock.control.principals import Principals
from penstock.control.secret_memory import SecretMemory
from penstock.control.secret_scopes import SecretScopes
from penstock.control.secrets import Secrets
from penstock.ports.clock import Clock
from penstock.ports.store import Store
from penstock.settings import Settings

_log = structlog.stdlib.get_logger("penstock.secrets")


async def make_secrets(
    settings: Settings, store: Store, principals: Principals, clock: Clock
) -> tuple[Secrets, SecretScopes, SecretMemory]:
    """The use cases of secrets and of their scopes, and what these remember.

    Raises InvalidParameter if the master key cannot be had.
    """
    cipher = AesGcmCipher(await asyncio.to_thread(master_keys, settings))
    async with store.unit() as unit:
        for key_id, count in (await unit.secrets.key_ids()).items():
            if not cipher.knows(key_id):
                # The others work, and these again when they are put anew.
                _log.error("secrets cannot be opened: their master key was not given", key_id=key_id, secrets=count)
    memory = SecretMemory()
    principals.on_change(memory.forget_person)
    return Secrets(store, clock, cipher, memory, new_id), SecretScopes(store, clock, memory), memory


def key_file(settings: Settings) -> Path:
    """Where the key is kept that is made when none is given."""
    return settings.data_dir.absolute() / "master.key"


def is_given(settings: Settings) -> bool:
    """Whether the settings name a master key."""
    given = settings.secrets
    return bool(settings.master_key or given.master_key_file or given.master_key_command)


def master_keys(settings: Settings) -> Sequence[bytes]:
    """The key that seals, and then those that only open; one is made if there is none. Blocks.

    A key that was made before another was given goes on opening what it sealed. Raises InvalidParameter.
    """
    made = key_file(settings)
    keys = _given(settings)
    if not keys and not made.exists():
        write_file(made, [new_key()])
    if made.exists():
        keys += read_file(made)
    if settings.old_master_key is not None:
        keys += parse_keys(settings.old_master_key.get_secret_value(), "PENSTOCK_OLD_MASTER_KEY")
    return keys


def _given(settings: Settings) -> list[bytes]:
    if settings.master_key is not None:
        return parse_keys(settings.master_key.get_secret_value(), "PENSTOCK_MASTER_KEY")
    if settings.secrets.master_key_file is not None:
        return read_file(settings.secrets.master_key_file)
    if settings.secrets.master_key_command:
        return ask_command(settings.secrets.master_key_command)
    return []
