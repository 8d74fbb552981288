"""Privileges pass downward, owners need none, and each parent must be open."""

import pytest

from penstock.domain.access import Principal, PrincipalKind
from penstock.domain.errors import InvalidParameter, PermissionDenied
from penstock.domain.grant import (
    GrantChange,
    Privilege,
    Securable,
    SecurableKind,
    changed,
    effective,
    holds,
    kind_of,
    manages,
    privilege_of,
    require,
    sees,
)

P = Privilege
BOB = Principal("2", "bob", "Bob", PrincipalKind.USER, frozenset({"users", "team"}))
ROOT = Principal("1", "root", "Root", PrincipalKind.USER, frozenset({"admins"}))


def chain(catalog=None, schema=None, model=None, owners=("ann", "ann", "ann")):
    given = [{who: frozenset(what) for who, what in (one or {}).items()} for one in (catalog, schema, model)]
    kinds, names = tuple(SecurableKind), ("c", "c.s", "c.s.m")
    return [Securable(kinds[n], names[n], str(n), owners[n], given[n]) for n in range(3)]


@pytest.mark.parametrize(
    ("where", "lacking"),
    [
        (chain(), "USE_CATALOG on catalog 'c'"),
        (chain({"bob": [P.USE_CATALOG]}), "USE_SCHEMA on schema 'c.s'"),
        (chain({"users": [P.USE_CATALOG]}, {"team": [P.USE_SCHEMA]}), "EXECUTE on model 'c.s.m'"),
        (chain(None, None, {"bob": [P.EXECUTE]}), "USE_CATALOG on catalog 'c'"),
        (chain(owners=("ann", "ann", "bob")), "USE_CATALOG on catalog 'c'"),
        (chain({"bob": [P.USE_CATALOG]}, owners=("ann", "team", "ann")), None),
        (chain({"users": [P.USE_CATALOG, P.USE_SCHEMA, P.EXECUTE]}), None),
        (chain({"users": [P.USE_CATALOG]}, {"team": [P.ALL_PRIVILEGES]}), None),
        (chain({"other": [P.ALL_PRIVILEGES]}), "USE_CATALOG on catalog 'c'"),
        (chain(owners=("bob", "ann", "ann")), None),
        (chain({"bob": [P.MANAGE]}), "USE_CATALOG on catalog 'c'"),
    ],
)
def test_what_is_missing_is_named(where, lacking):
    require(ROOT, where, P.EXECUTE)
    if lacking is None:
        require(BOB, where, P.EXECUTE)
        assert sees(BOB, where)
    else:
        with pytest.raises(PermissionDenied, match=f"bob does not have {lacking}"):
            require(BOB, where, P.EXECUTE)


def test_all_privileges_is_not_manage():
    assert P.MANAGE not in holds(BOB, chain({"bob": [P.ALL_PRIVILEGES]}))
    assert not manages(BOB, chain({"bob": [P.ALL_PRIVILEGES]}))
    assert manages(BOB, chain({"bob": [P.MANAGE]}))


def test_what_is_seen_in_lists():
    assert not sees(BOB, chain())
    assert not sees(BOB, chain(None, None, {"bob": [P.EXECUTE]}))
    assert sees(BOB, chain({"bob": [P.USE_CATALOG, P.USE_SCHEMA]}, None, {"bob": [P.APPLY_TAG]}))


def test_effective_grants_say_where_they_come_from():
    found = effective(chain({"bob": [P.USE_CATALOG]}, {"ann": [P.EXECUTE]}, {"bob": [P.EXECUTE]}))
    told = {name: [(one.privilege, one.origin and one.origin.name) for one in given] for name, given in found.items()}
    assert told == {"ann": [("EXECUTE", "c.s")], "bob": [("EXECUTE", None), ("USE_CATALOG", "c")]}


def test_changes():
    schema = chain(None, {"bob": [P.EXECUTE, P.USE_SCHEMA]})[1]
    none = frozenset()
    left = changed(
        schema,
        [GrantChange("bob", frozenset({P.CREATE_MODEL}), frozenset({P.EXECUTE})), GrantChange("x", none, none)],
    )
    assert left == {"bob": {P.CREATE_MODEL, P.USE_SCHEMA}}
    with pytest.raises(InvalidParameter, match="USE_CATALOG cannot be granted on a schema"):
        changed(schema, [GrantChange("bob", frozenset({P.USE_CATALOG}), none)])
    with pytest.raises(InvalidParameter, match="both added to and removed"):
        changed(schema, [GrantChange("bob", frozenset({P.EXECUTE}), frozenset({P.EXECUTE}))])
    many = [GrantChange(str(number), frozenset({P.EXECUTE}), none) for number in range(1001)]
    with pytest.raises(InvalidParameter, match="at most 1000"):
        changed(schema, many)


def test_words_of_clients():
    assert privilege_of("use schema", "f") is P.USE_SCHEMA
    assert kind_of("registered_model") is kind_of("function") is SecurableKind.MODEL
    for wrong in (lambda: privilege_of("SELECT", "f"), lambda: kind_of("TABLE")):
        with pytest.raises(InvalidParameter):
            wrong()


def test_what_is_the_systems_is_for_everybody_to_use_and_for_nobody_to_change():
    there = [
        Securable(SecurableKind.CATALOG, "system", "0", "root"),
        Securable(SecurableKind.SCHEMA, "system.ai", "1", "root"),
        Securable(SecurableKind.MODEL, "system.ai.tiny", "2", "root"),
    ]
    for principal in (BOB, ROOT):
        require(principal, there, P.EXECUTE)
        assert sees(principal, there)
        assert not manages(principal, there)
        assert holds(principal, there) == {P.USE_CATALOG, P.USE_SCHEMA, P.EXECUTE}
        with pytest.raises(PermissionDenied, match=r"does not have MODIFY on model 'system\.ai\.tiny'"):
            require(principal, there, P.MODIFY)
