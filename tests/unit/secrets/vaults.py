"""Secrets in memory, and who uses them."""

import itertools

from penstock.adapters.crypto.cipher import AesGcmCipher
from penstock.control.authenticator import Authenticator
from penstock.control.principals import Principals
from penstock.control.secret_memory import SecretMemory
from penstock.control.secret_scopes import SecretScopes
from penstock.control.secrets import Secrets
from penstock.domain.access import ADMINS, USERS, Caller, Principal, PrincipalKind, Scope

MASTER = b"m" * 32


def caller(number, name, *groups):
    return Caller(Principal(number, name, name, PrincipalKind.USER, frozenset({USERS, *groups})), Scope.ALL_APIS, "t")


ADMIN, ANN, BOB = caller("1", "admin", ADMINS), caller("2", "ann"), caller("3", "bob", "team")


class Vault:
    """Everything of secrets, on one store."""

    def __init__(self, store, clock):
        self.store, self.clock = store, clock
        self.memory = SecretMemory()
        ids = itertools.count()
        self.secrets = Secrets(store, clock, AesGcmCipher([MASTER]), self.memory, lambda: f"id-{next(ids)}")
        self.scopes = SecretScopes(store, clock, self.memory)
        self.principals = Principals(store, clock, Authenticator(store, clock))
        self.principals.on_change(self.memory.forget_person)
