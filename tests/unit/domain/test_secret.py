"""References, names and permissions of secrets."""

import copy
import json
import pickle

import pytest

from penstock.domain.access import ADMINS, Principal, PrincipalKind
from penstock.domain.errors import InvalidParameter, PermissionDenied
from penstock.domain.secret import (
    AclItem,
    Hidden,
    Permission,
    SecretRef,
    check_key,
    check_scope,
    permission_of,
    require,
)

ANN = Principal("1", "ann", "Ann", PrincipalKind.USER, frozenset({"team"}))


def test_a_reference_is_read_and_written_as_it_was():
    ref = SecretRef.parse("{{secrets/My-scope/Open.AI_key}}", "openai_api_key")
    assert ref == SecretRef("My-scope", "Open.AI_key")
    assert str(ref) == "{{secrets/My-scope/Open.AI_key}}"
    assert ref.folded == SecretRef.parse("{{secrets/mY-scope/open.ai_KEY}}", "x").folded
    assert not ref.own


@pytest.mark.parametrize(
    "text",
    [
        "sk-1234567890",
        "{{secrets/scope}}",
        "{{secrets/a/b/c}}",
        "{{secrets//key}}",
        "{{secrets/scope/}}",
        " {{secrets/scope/key}}",
        "{{secrets/scope/key}}\n",
        "{{secrets/:1/key}}",
        "{{secrets/scope/k@y}}",
        "{{secrets/" + "s" * 129 + "/key}}",
        "",
    ],
)
def test_what_is_no_reference_is_refused_without_repeating_it(text):
    with pytest.raises(InvalidParameter) as refused:
        SecretRef.parse(text, "openai_api_key")
    assert refused.value.message == "openai_api_key must refer to a secret as {{secrets/scope/key}}."


@pytest.mark.parametrize("name", ["a", "A-b_c.d9", "x" * 128])
def test_names_that_are_taken(name):
    assert check_scope(name) == check_key(name) == name
    assert check_scope("me@x.org") == "me@x.org"


@pytest.mark.parametrize("name", ["", "x" * 129, "a b", "a/b", ":own", "é", "a\n"])
def test_names_that_are_not(name):
    for check in (check_scope, check_key):
        with pytest.raises(InvalidParameter) as refused:
            check(name)
        assert not name.strip() or name not in refused.value.message


def test_a_hidden_text_shows_itself_only_when_asked():
    hidden = Hidden("sk-123")
    assert hidden.reveal() == "sk-123"
    assert {str(hidden), repr(hidden), f"{hidden}", f"{hidden!r}", f"{hidden!s:>3}"} == {"***"}
    assert repr({"key": hidden}) == "{'key': ***}"
    assert copy.deepcopy({"key": hidden}) == {"key": Hidden("sk-123")}
    assert hidden != Hidden("sk-124")
    assert hidden != "sk-123"
    assert len({hidden, Hidden("sk-123")}) == 1
    for write in (json.dumps, pickle.dumps):
        with pytest.raises(TypeError):
            write(hidden)


@pytest.mark.parametrize(
    ("acl", "most"),
    [
        ([], None),
        ([AclItem("bob", Permission.MANAGE)], None),
        ([AclItem("ann", Permission.READ)], Permission.READ),
        ([AclItem("ann", Permission.READ), AclItem("team", Permission.WRITE)], Permission.WRITE),
        ([AclItem("ann", Permission.MANAGE), AclItem("team", Permission.READ)], Permission.MANAGE),
    ],
)
def test_a_principal_may_the_most_of_what_it_and_its_groups_may(acl, most):
    assert permission_of(ANN, acl) is most
    for wanted in Permission:
        if most is not None and most.includes(wanted):
            require(ANN, acl, "s", wanted)
        else:
            with pytest.raises(PermissionDenied, match=f"ann does not have {wanted} permission on scope s."):
                require(ANN, acl, "s", wanted)


def test_administrators_manage_every_scope():
    admin = Principal("2", "root", "Root", PrincipalKind.USER, frozenset({ADMINS}))
    assert permission_of(admin, []) is Permission.MANAGE
