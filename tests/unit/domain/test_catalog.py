"""Aliases, tags, numbers and filters."""

import pytest

from penstock.domain.access import Caller, Principal, PrincipalKind, Scope
from penstock.domain.catalog import check_alias, check_number, check_owner, check_tag, check_text, check_unused
from penstock.domain.errors import Conflict, InvalidParameter, PermissionDenied
from penstock.domain.version_filter import VersionFilter, parse


def test_aliases_fold_and_do_not_look_like_versions():
    assert check_alias("Champion-2_x") == "champion-2_x"
    for alias in ("", "a b", "a.b", "ä", "x" * 256):
        with pytest.raises(InvalidParameter, match="alias must"):
            check_alias(alias)
    for alias in ("latest", "LATEST", "v12", "V1"):
        with pytest.raises(InvalidParameter, match="reserved"):
            check_alias(alias)


def test_tags_and_texts_have_limits():
    assert check_tag("k" * 256, "v" * 5000) == ("k" * 256, "v" * 5000)
    for tag in (("", "v"), ("k" * 257, ""), ("k\0", ""), ("k", "v" * 5001), ("k", "\0")):
        with pytest.raises(InvalidParameter, match="tag"):
            check_tag(*tag)
    assert check_text("x" * 65536, "comment")
    for text in ("x" * 65537, "a\0b"):
        with pytest.raises(InvalidParameter, match="comment must"):
            check_text(text, "comment")


def test_numbers_come_as_strings_or_integers():
    assert [check_number("7"), check_number(7), check_number("007")] == [7, 7, 7]
    for number in ("0", 0, -1, "", "x", "1.0", "1e3", "9" * 10, "²", "٣"):
        with pytest.raises(InvalidParameter, match="version must be a whole number"):
            check_number(number)


def caller(name, *groups):
    return Caller(Principal("1", name, name, PrincipalKind.USER, frozenset(groups)), Scope.ALL_APIS, "t")


def test_owners_and_administrators_may():
    check_owner(caller("a"), "a", "delete it")
    check_owner(caller("b", "admins"), "a", "delete it")
    with pytest.raises(PermissionDenied, match="b may not delete it: only its owner a"):
        check_owner(caller("b", "users"), "a", "delete it")


def test_what_is_served_is_kept():
    check_unused("model 'm'", [], "delete")
    with pytest.raises(Conflict, match="Cannot delete model 'm': it is served by endpoint 'x', 'y'"):
        check_unused("model 'm'", ["x", "y"], "delete")


@pytest.mark.parametrize(
    ("text", "model", "run"),
    [
        ("", None, None),
        ("name='A.b.c'", "a.b.c", None),
        ('name = "a.b.c"', "a.b.c", None),
        ("run_id='r1' AND name='a.b.c' ", "a.b.c", "r1"),
        ("`name` = 'a.b.c' and run_id = ''", "a.b.c", ""),
    ],
)
def test_filters(text, model, run):
    assert parse(text) == VersionFilter(model, run)


@pytest.mark.parametrize(
    "text",
    ["name", "name=a.b.c", "name='a.b.c' or run_id='x'", "name='a.b.c' and", "source='x'", "name='a.b.c' name='a.b.c'",
     "name='a.b.c' and name='a.b.d'", "name LIKE 'a.%'", "name='a.b'", "name='a.b.c\""],
)  # fmt: skip
def test_other_filters_are_refused(text):
    with pytest.raises(InvalidParameter, match="filter"):
        parse(text)
