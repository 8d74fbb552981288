"""Names fold, and what would be ambiguous in a URL, a path or a filter is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.errors import InvalidParameter
from penstock.domain.names import ModelName, SchemaName, check_level, fold


@given(st.text())
def test_folding_twice_changes_nothing_more(text):
    assert fold(fold(text)) == fold(text)


@given(st.text(min_size=1, max_size=300))
def test_a_level_is_folded_plain_and_stays_what_it_is_or_is_refused(text):
    try:
        level = check_level(text, "name")
    except InvalidParameter:
        return
    assert check_level(level, "name") == level == fold(text)
    assert not set(level) & set("./\\:@'\"`%?# \n\t\0")
    assert 1 <= len(level) <= 255
    name = ModelName.of(level, "s", "m")
    assert ModelName.parse(str(name)) == name


def test_case_folds():
    assert str(ModelName.parse("Main.DEFAULT.Guide-2_ß")) == "main.default.guide-2_ss"
    assert SchemaName.parse("A.B") == SchemaName("a", "b")
    assert ModelName.parse("a.b.c").parent == SchemaName("a", "b")


@pytest.mark.parametrize("name", ["", "a", "a.b", "a.b.c.d", "a..c", ".b.c", "a.b."])
def test_all_three_levels_must_be_there(name):
    with pytest.raises(InvalidParameter, match="specify all three levels"):
        ModelName.parse(name)


@pytest.mark.parametrize(
    "name", ["a.b.c d", "a.b/x.c", "a.b.c:1", "a.b.c\n", "a.b.c@d", "a.b.it's", "a.b." + "c" * 256]
)
def test_signs_that_mean_something_elsewhere_are_refused(name):
    with pytest.raises(InvalidParameter, match=r"(catalog|schema|model)[_ ]name must"):
        ModelName.parse(name)


def test_a_sign_that_folds_into_a_dot_is_refused():
    with pytest.raises(InvalidParameter, match="catalog_name"):
        SchemaName.of("a\u2024b", "s")
