"""Secret values: how they are made, and what is kept of them.

A token is 160 random bits, so that its SHA-256 can be stored plainly and looked up: there is nothing to guess, and a
slow password hash would only slow the first request of a caller.
"""

import hashlib
import secrets

TOKEN_PREFIX = "dapi"  # noqa: S105 - what tokens begin with, for scanners of leaked secrets
SECRET_PREFIX = "dose"  # noqa: S105 - what client secrets begin with
OAUTH_PREFIX = "doat"


def digest(value: str) -> str:
    """What is stored of a secret value: its SHA-256, in hexadecimal."""
    return hashlib.sha256(value.encode()).hexdigest()


def new_value(prefix: str) -> str:
    """A fresh secret value: the prefix and 40 hexadecimal digits."""
    return prefix + secrets.token_hex(20)


def new_number() -> str:
    """A fresh id of principals and installations: 16 decimal digits, which every JSON parser keeps whole."""
    return str(secrets.randbelow(9 * 10**15 - 10**15) + 10**15)


def new_id() -> str:
    """A fresh id of tokens and secrets: 32 hexadecimal digits."""
    return secrets.token_hex(16)
