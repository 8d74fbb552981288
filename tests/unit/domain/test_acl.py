"""Who may do what with an endpoint."""

from dataclasses import replace
from functools import partial

import pytest

from penstock.domain.access import ADMINS, USERS, Caller, PermissionLevel, Principal, PrincipalKind, Scope
from penstock.domain.acl import (
    ADMINISTRATORS,
    MAX_GRANTS,
    Acl,
    Grantee,
    GranteeKind,
    endpoint_level,
    may_query,
    new_acl,
    require_manage,
    require_query,
    require_view,
    wanted_acl,
)
from penstock.domain.errors import InvalidParameter, PermissionDenied

VIEW, QUERY, MANAGE = PermissionLevel
ANN = Grantee(GranteeKind.USER, "ann")
BOB = Grantee(GranteeKind.USER, "bob")
TEAM = Grantee(GranteeKind.GROUP, "team")
BOSS = Grantee(GranteeKind.USER, "boss")
OWN = Acl({BOSS: MANAGE, ANN: VIEW, TEAM: QUERY})


def caller(name, *groups, kind=PrincipalKind.USER):
    return Caller(Principal("1", name, name, kind, frozenset({USERS, *groups})), Scope.ALL_APIS, "t")


@pytest.mark.parametrize(
    ("who", "level"),
    [
        (caller("ann"), VIEW),
        (caller("ann", "team"), QUERY),
        (caller("boss", "team"), MANAGE),
        (caller("eve"), None),
        (caller("eve", ADMINS), MANAGE),
        (caller("ann", kind=PrincipalKind.SERVICE_PRINCIPAL), None),
        (caller("team"), None),
    ],
)
def test_the_highest_grant_counts(who, level):
    assert endpoint_level(who, OWN) is level


@pytest.mark.parametrize(("level", "may"), [(None, 0), (VIEW, 1), (QUERY, 2), (MANAGE, 3)])
def test_each_level_includes_those_before_it(level, may):
    acl = Acl({} if level is None else {ANN: level})
    query = partial(require_query, endpoint_id="e1")
    for place, require in enumerate((require_view, query, require_manage)):
        if place < may:
            require(caller("ann"), acl, "guide")
        else:
            with pytest.raises(PermissionDenied, match=r"ann does not have CAN_.* permission on endpoint 'guide'"):
                require(caller("ann"), acl, "guide")


def test_a_token_for_one_endpoint_opens_no_other_whatever_its_principal_may():
    acl, narrow = Acl({ANN: MANAGE}), replace(caller("ann"), endpoint_id="e1")
    require_query(narrow, acl, "guide", "e1")
    assert [may_query(narrow, acl, one) for one in ("e1", "e2", "")] == [True, False, False]
    with pytest.raises(PermissionDenied, match=r"for requests to the endpoint with id 'e1' alone, not for 'other'"):
        require_query(narrow, acl, "other", "e2")
    assert not may_query(replace(caller("eve"), endpoint_id="e1"), acl, "e1")


def test_replacing_keeps_the_creator_and_merging_keeps_all():
    wanted = wanted_acl([(BOB, QUERY), (ANN, MANAGE)], OWN, "boss")
    assert OWN.replaced(wanted, "boss").levels == {BOSS: MANAGE, BOB: QUERY, ANN: MANAGE}
    assert OWN.merged(wanted, "boss").levels == {BOSS: MANAGE, TEAM: QUERY, BOB: QUERY, ANN: MANAGE}
    assert OWN.without(ANN).levels == {BOSS: MANAGE, TEAM: QUERY}


@pytest.mark.parametrize(
    ("grants", "message"),
    [
        ([(BOB, VIEW), (BOB, QUERY)], "names user_name 'bob' twice"),
        ([(BOSS, VIEW)], "user_name 'boss' keeps CAN_MANAGE"),
        ([(ADMINISTRATORS, QUERY)], "group_name 'admins' keeps CAN_MANAGE"),
    ],
)
def test_what_cannot_be_asked(grants, message):
    with pytest.raises(InvalidParameter, match=message):
        wanted_acl(grants, OWN, "boss")


def test_administrators_are_not_stored_and_the_number_is_limited():
    wanted = wanted_acl([(ADMINISTRATORS, MANAGE), (BOSS, MANAGE)], OWN, "boss")
    assert wanted.levels == {BOSS: MANAGE}
    many = Acl({Grantee(GranteeKind.USER, f"u{number}"): VIEW for number in range(MAX_GRANTS)})
    with pytest.raises(InvalidParameter, match="at most 1000 grants, but there would be 1001"):
        OWN.replaced(many, "boss")


def test_a_creator_that_is_gone_leaves_the_name_without_rights():
    left = OWN.without(BOSS)
    assert endpoint_level(caller("boss"), left) is None
    assert wanted_acl([(BOSS, VIEW)], left, "boss").levels == {BOSS: VIEW}


@pytest.mark.parametrize("everybody", [None, VIEW, QUERY])
def test_a_new_endpoint_is_its_creators_and_what_the_setting_says(everybody):
    acl = new_acl(caller("boss").principal, USERS, everybody)
    assert endpoint_level(caller("boss"), acl) is MANAGE
    assert endpoint_level(caller("ann"), acl) is everybody
