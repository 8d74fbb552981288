"""What the ledger comes to."""

from dataclasses import replace
from decimal import Decimal

import pytest
from ledger_requests import HOUR

from penstock.domain.billing import Price, Prices, bill, hourly, prices_of
from penstock.domain.errors import InvalidParameter
from penstock.domain.ledger_entry import MINUTE_MS
from penstock.domain.ledger_hour import HOUR_MS
from penstock.domain.ledger_minute import Key
from penstock.domain.ledger_sums import Promise, Totals
from penstock.domain.ledger_tally import Tally

PRICES = Prices("EUR", {"guide": Price(Decimal(2), Decimal(1), Decimal(4))}, {"m.s.other": Price(Decimal(1))})


def minute(at, peak, chunk=300.0, name="guide", **totals):
    row = Tally().row(Key(at, f"id-{name}", "one"), Promise(0, peak, chunk, 60_000), name)
    return replace(row, totals=Totals(**totals))


def test_an_hour_costs_the_highest_band_reached_in_it():
    rows = [minute(HOUR + n * MINUTE_MS, 300.0 if n != 17 else 900.0) for n in range(60)]
    rows += [minute(HOUR + HOUR_MS, 600.0), minute(HOUR + 3 * HOUR_MS, 0.0)]
    (line,) = bill(rows, PRICES, {})
    assert (line.hours, line.chunk_hours, line.amount) == (2, 5, Decimal("10.00"))


def test_hours_add_up_to_the_bill():
    rows = [minute(HOUR, 300.0, metered_prompt_tokens=3), minute(HOUR + MINUTE_MS, 900.0)]
    rows += [replace(minute(HOUR + HOUR_MS, 0.0, metered_prompt_tokens=4), endpoint_name="")]
    (line,) = bill(rows, PRICES, {})
    hours = hourly(rows, PRICES, {})
    assert [(at, one.chunk_hours, one.input_tokens) for at, one in hours] == [(HOUR, 3, 3), (HOUR + HOUR_MS, 0, 4)]
    assert [one.amount for _, one in hours] == [Decimal("6.000003"), Decimal("0.000004")]
    assert line.amount == Decimal("6.00")


def test_part_of_a_chunk_is_a_chunk_but_rounding_is_not():
    assert bill([minute(HOUR, 301.0)], PRICES, {})[0].chunk_hours == 2
    assert bill([minute(HOUR, 0.1 + 0.2, 0.1)], PRICES, {})[0].chunk_hours == 3


def test_tokens_are_paid_singly_to_the_cent():
    rows = [minute(HOUR + n, 0.0, metered_prompt_tokens=500_000, metered_completion_tokens=1_250) for n in (0, 1)]
    (line,) = bill(rows, PRICES, {})
    assert (line.input_tokens, line.output_tokens, line.chunk_hours) == (1_000_000, 2500, 0)
    assert line.amount == Decimal("1.01")


def test_the_price_of_an_endpoint_wins_over_its_models_and_that_over_the_default():
    models = {("id-other", "one"): "m.s.other"}
    assert bill([minute(HOUR, 300.0, name="other")], PRICES, models)[0].amount == 1
    assert bill([minute(HOUR, 300.0)], PRICES, {("id-guide", "one"): "m.s.other"})[0].amount == 2
    with pytest.raises(InvalidParameter, match=r"no chunk_hour for the endpoint 'third' \(its model is not known"):
        bill([minute(HOUR, 300.0, name="third")], PRICES, models)
    assert bill([minute(HOUR, 300.0, name="third")], replace(PRICES, default=Price(Decimal(9))), {})[0].amount == 9


def test_prices_that_an_endpoint_does_not_name_are_its_models_and_those_the_defaults():
    used = [minute(HOUR, 300.0, metered_prompt_tokens=2_000_000, metered_completion_tokens=1_000_000)]
    one, two, five = Decimal(1), Decimal(2), Decimal(5)
    prices = Prices(
        "EUR", {"guide": Price(chunk_hour=two)}, {"m": Price(one, input_million=five)}, Price(one, one, one)
    )
    assert bill(used, prices, {("id-guide", "one"): "m"})[0].amount == 2 + 2 * 5 + 1


def test_usage_without_a_price_is_refused_and_named():
    used = [minute(HOUR, 300.0, metered_prompt_tokens=1), minute(HOUR, 300.0, name="other")]
    with pytest.raises(InvalidParameter) as refused:
        bill(used, Prices("EUR", {"guide": Price(output_million=Decimal(1))}, {}), {("id-other", "one"): "m.s.o"})
    assert "no chunk_hour and input_million for the endpoint 'guide' (its model is not" in refused.value.message
    assert "no chunk_hour for the endpoint 'other' (of the model m.s.o)" in refused.value.message


def test_what_held_nothing_is_not_on_the_bill():
    assert bill([minute(HOUR, 0.0, name="third")], PRICES, {}) == []


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "currency"),
        ({"currency": 5}, "currency"),
        ({"currency": "EUR", "chunk_hour": 1}, "'chunk_hour' is not one of"),
        ({"currency": "EUR", "default": {"hour": 1}}, "'default.hour' is not one of"),
        (
            {"currency": "EUR", "endpoints": {"a": {"chunk_hour": "x"}}},
            "'endpoints.a.chunk_hour' must be a number from 0",
        ),
        ({"currency": "EUR", "models": {"a": {"chunk_hour": -1}}}, "from 0"),
        ({"currency": "EUR", "default": {"chunk_hour": "1.5"}}, "'default.chunk_hour' must be a number"),
        ({"currency": "EUR", "default": {"chunk_hour": True}}, "'default.chunk_hour' must be a number"),
        ({"currency": "EUR", "default": {"chunk_hour": Decimal("nan")}}, "'default.chunk_hour' must be a number"),
        ({"currency": "EUR", "default": {"chunk_hour": Decimal("1e400")}}, "to 1,000,000,000"),
        ({"currency": "EUR", "default": {}}, "'default' must be a table of"),
        ({"currency": "EUR", "models": 3}, "'models' must be a table"),
    ],
)
def test_a_price_table_that_is_wrong_is_refused_by_name(document, named):
    with pytest.raises(InvalidParameter, match=named):
        prices_of(document)


def test_a_listed_price_holds_where_the_table_names_none():
    used = [minute(HOUR, 0.0, metered_prompt_tokens=1_000_000, metered_completion_tokens=1_000_000)]
    models = {("id-guide", "one"): "system.ai.tiny"}
    listed = {"system.ai.tiny": Price(input_million=Decimal(3), output_million=Decimal(4))}
    assert bill(used, Prices("USD", {}, {}, None, listed), models)[0].amount == 7
    table = {"system.ai.tiny": Price(output_million=Decimal(1))}
    assert bill(used, Prices("USD", {}, table, None, listed), models)[0].amount == 4
