"""Master keys: 32 random bytes in base64, from a variable, a file, or a command that asks a key management service."""

import base64
import binascii
import os
import secrets
import shlex
import subprocess
from pathlib import Path

from penstock.domain.errors import InvalidParameter

KEY_BYTES = 32
COMMAND_S = 60


def parse_keys(text: str, source: str) -> list[bytes]:
    """The keys in a text, separated by white space, newest first.

    Raises InvalidParameter naming `source`; the text itself is never told.
    """
    keys = []
    for word in text.split():
        try:
            key = base64.b64decode(word.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            # outside the block: the cause might quote the key
            raise InvalidParameter(
                f"{source} must be {KEY_BYTES} bytes in base64, as `openssl rand -base64 32` prints."
            )
        keys.append(key)
    if not keys:
        raise InvalidParameter(f"{source} is empty; it must be {KEY_BYTES} bytes in base64.")
    return keys


def read_file(path: Path) -> list[bytes]:
    """The keys in a file; raises InvalidParameter. Blocks."""
    try:
        text = path.read_bytes().decode("ascii", "replace")
    except OSError as error:
        raise InvalidParameter(f"The master key file {path} cannot be read: {error.strerror}.") from error
    return parse_keys(text, f"The master key in {path}")


def ask_command(command: str) -> list[bytes]:
    """The keys that a command prints on its standard output, which goes nowhere else; raises InvalidParameter. Blocks.

    It is run without a shell. What it says on standard error is the operator's to see.
    """
    try:
        done = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, timeout=COMMAND_S, check=False)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidParameter(f"secrets.master_key_command cannot be run: {reason}.") from None
    except subprocess.TimeoutExpired:
        # without its cause, which holds what was printed so far
        raise InvalidParameter(f"secrets.master_key_command took longer than {COMMAND_S} s.") from None
    if done.returncode != 0:
        raise InvalidParameter(f"secrets.master_key_command ended with status {done.returncode}.")
    return parse_keys(done.stdout.decode("ascii", "replace"), "What secrets.master_key_command prints")


def new_key() -> bytes:
    """A fresh key."""
    return secrets.token_bytes(KEY_BYTES)


def write_file(path: Path, keys: list[bytes]) -> None:
    """Puts the keys into a file for the server's user alone, whole or not at all, on the disk when it returns. Blocks.

    Raises InvalidParameter if that cannot be done.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(b"".join(base64.b64encode(key) + b"\n" for key in keys))
                file.flush()
                os.fsync(handle)
            fresh.replace(path)
            _settle(path.parent)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidParameter(f"The master key file {path} cannot be written: {error.strerror}.") from error


def _settle(folder: Path) -> None:
    # A secret that is sealed under a key must not outlive the key's name in the folder.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
