"""Which limits may be asked for, and which of them a caller comes under."""

import pytest

from penstock.domain.access import Principal, PrincipalKind
from penstock.domain.errors import InvalidParameter
from penstock.domain.rate_limit import Holding, LimitKey, RateLimit, applicable, check_limits, most_tokens

ENDPOINT = RateLimit(calls=100)
EVERYBODY = RateLimit(LimitKey.USER, calls=10)
ANN = RateLimit(LimitKey.USER, "ann@x.org", tokens=50)
BLUE = RateLimit(LimitKey.USER_GROUP, "blue", calls=5)
RED = RateLimit(LimitKey.USER_GROUP, "red", calls=6)
ROBOT = RateLimit(LimitKey.SERVICE_PRINCIPAL, "robot", calls=7)
ALL = (ENDPOINT, EVERYBODY, ANN, BLUE, RED, ROBOT)


def principal(name, *groups, kind=PrincipalKind.USER):
    return Principal("1", name, name, kind, frozenset(groups))


def test_a_limit_for_the_user_counts_before_groups_and_the_default():
    found = applicable(ALL, principal("ann@x.org", "blue", "red"))
    assert found == ((Holding(ENDPOINT),), (Holding(ANN, "ann@x.org"),))


def test_groups_are_alternatives_and_count_before_the_default():
    found = applicable(ALL, principal("bob@x.org", "blue", "red", "users"))
    assert found == ((Holding(ENDPOINT),), (Holding(BLUE, "blue"), Holding(RED, "red")))


def test_everybody_else_has_the_default_each():
    found = applicable(ALL, principal("eve@x.org", "users"))
    assert found == ((Holding(ENDPOINT),), (Holding(EVERYBODY, "eve@x.org"),))


def test_a_service_principal_is_not_a_user_of_that_name():
    assert applicable(ALL, principal("robot", kind=PrincipalKind.SERVICE_PRINCIPAL))[1] == (Holding(ROBOT, "robot"),)
    assert applicable(ALL, principal("robot"))[1] == (Holding(EVERYBODY, "robot"),)
    ann = principal("ann@x.org", kind=PrincipalKind.SERVICE_PRINCIPAL)
    assert applicable(ALL, ann)[1] == (Holding(EVERYBODY, "ann@x.org"),)


def test_only_the_endpoints_own_limit():
    assert applicable((ENDPOINT,), principal("eve@x.org")) == ((Holding(ENDPOINT),),)
    assert applicable((), principal("eve@x.org")) == ()


def test_what_one_request_can_have_at_most():
    assert most_tokens([(Holding(ENDPOINT),)]) is None
    assert most_tokens([(Holding(RateLimit(tokens=80)),), (Holding(ANN, "ann"),)]) == 50
    wide = Holding(RateLimit(LimitKey.USER_GROUP, "red", tokens=70), "red")
    narrow = Holding(RateLimit(LimitKey.USER_GROUP, "blue", tokens=20), "blue")
    assert most_tokens([(narrow, wide)]) == 70
    assert most_tokens([(narrow, Holding(RED, "red"))]) is None


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ([RateLimit(LimitKey.USER, str(one), calls=1) for one in range(21)], "at most 20 limits, but holds 21"),
        ([RateLimit(LimitKey.USER_GROUP, str(one), calls=1) for one in range(6)], "at most 5 limits of user groups"),
        ([RateLimit()], r"f\[0\] must have calls or tokens"),
        ([RateLimit(calls=-1)], r"f\[0\].calls must be a whole number from 0"),
        ([RateLimit(tokens=2**53)], r"f\[0\].tokens must be a whole number"),
        ([RateLimit(LimitKey.USER_GROUP, calls=1)], r"f\[0\].principal must name"),
        ([RateLimit(LimitKey.SERVICE_PRINCIPAL, calls=1)], r"f\[0\].principal must name"),
        ([RateLimit(principal="ann", calls=1)], r"f\[0\].principal must not be given"),
        ([ENDPOINT, RateLimit(tokens=1)], r"f\[1\] is a second limit with the key endpoint;"),
        ([BLUE, BLUE], r"f\[1\] is a second limit with the key user_group for 'blue';"),
    ],
)
def test_what_may_not_be_asked_for(limits, told):
    with pytest.raises(InvalidParameter, match=told):
        check_limits(limits, "f")


def test_what_may_be_asked_for():
    assert check_limits(ALL, "f") == ALL
    assert check_limits([RateLimit(calls=0, tokens=2**53 - 1)], "f")
