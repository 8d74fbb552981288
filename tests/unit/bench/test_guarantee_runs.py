"""The figures of the guarantee's runs, on rows whose figures are known; and the book they are kept in."""

import asyncio
import json
import math

import pytest

from guarantee.book import Book, record
from guarantee.engine import Moment
from guarantee.machine import Used
from guarantee.market import Ware, Way, two
from guarantee.points import busy
from guarantee.report import write
from guarantee.runs import Part, Run, Tenant, attained, first_retries, refused_below, served, ttft, work
from guarantee.scenario import END_ID, WRONG, Side
from guarantee.work import Scale
from penstock.domain.profile import CostModel, pin
from penstock.load.row import Outcome, Row
from penstock.load.target import Target
from penstock.load.workload import REFERENCE

COST = pin(CostModel(0.01, 1e-4, 0, 1e-3, 1e-6), 2048, 256, 2304)
SCALE = Scale(COST, 2304)
TENANT = Tenant(Target("http://none", "own"), 1152, SCALE, residence_s=4)


def row(sent, took=2.0, outcome=Outcome.DONE, attempt=0, first=1.0):
    good = outcome in {Outcome.DONE, Outcome.CUT}
    return Row(
        number=0,
        attempt=attempt,
        due_at=sent,
        sent_at=sent,
        first_at=sent + first if good and first is not None else None,
        ended_at=sent + took,
        tokens_in=2048 if good and first is not None else 0,
        tokens_out=256 if good and first is not None else 0,
        status=200 if good else 429,
        outcome=outcome,
        asked_in=2048,
        asked_out=256,
    )


def ran(rows, *others, load=1.3, start=10, end=90):
    parts = [Part(Side(load, REFERENCE), TENANT, own=True, rows=tuple(rows))]
    parts += [Part(Side(10, REFERENCE), TENANT, own=False, rows=tuple(one)) for one in others]
    return Run(parts, start, end, origin=0)


def every(seconds, until=100):
    return [row(n * seconds) for n in range(int(until / seconds))]


def test_what_is_bought_is_attained_and_all_work_is_counted():
    found = ran(every(2), every(2))
    assert attained(found, 60) == pytest.approx(1, abs=0.02)
    assert work(found) == pytest.approx(1, abs=0.02)
    assert math.isnan(attained(found, 81))


def test_of_several_that_behave_well_the_least_counts():
    own = Part(Side(1.3, REFERENCE), TENANT, own=True, rows=tuple(every(4)))
    found = ran(every(2))
    found = Run([*found.parts, own], found.start, found.end, 0)
    assert attained(found, 60) == pytest.approx(0.5, abs=0.05)


def test_served_in_time_is_what_counts_as_served():
    assert served(ran(every(2))) == pytest.approx(1)
    late = [row(n * 2, took=16, first=15.0) for n in range(50)]
    assert served(ran(late)) < 0.7
    lost = [row(n * 2, outcome=Outcome.REFUSED if n % 2 else Outcome.DONE) for n in range(50)]
    assert served(ran(lost)) == pytest.approx(0.5, abs=0.03)


def test_who_never_got_a_token_has_waited_at_least_so_long():
    found = ran([row(20), row(30, took=55, outcome=Outcome.CUT, first=None), row(40, outcome=Outcome.REFUSED)])
    assert ttft(found) == [1, 55]


def test_a_refusal_is_wrong_only_within_what_was_bought():
    half = [row(n * 4) for n in range(10)]  # 576 of 1,152 tokens/s
    assert refused_below(ran(half)) == 0
    assert refused_below(ran([*half, row(41, outcome=Outcome.REFUSED)])) == 1
    greedy = [row(n / 2, outcome=Outcome.REFUSED if n % 4 else Outcome.DONE) for n in range(80)]  # one in 2 s is served
    assert refused_below(ran(greedy)) == 0


def test_first_retries():
    rows = [row(1, outcome=Outcome.REFUSED), row(2, attempt=1), row(2, attempt=1, outcome=Outcome.REFUSED)]
    rows += [row(9, attempt=2), row(3, attempt=1, outcome=Outcome.CUT)]
    assert first_retries(ran(rows)) == 0.5
    assert math.isnan(first_retries(ran([row(1)])))


def test_the_device_is_busy_while_something_waits_that_it_does_not_have():
    found = ran([row(10, took=80), row(10, took=40)])
    moments = [Moment(at, running, at / 2) for at, running in ((5, 0), (20, 1), (30, 0), (40, 1), (60, 1), (80, 1))]
    assert busy(found, moments) == {"device_busy": pytest.approx(2 / 3), "device_computing": pytest.approx(0.5)}
    assert busy(ran([]), moments) == {}


def test_processor_time_that_others_had():
    before, after = Used(0, ours=10, all=20, stolen=1), Used(10, ours=25, all=40, stolen=2)
    assert before.others(after) == pytest.approx(0.6)
    assert before.others(Used(10, ours=31, all=40, stolen=1)) == 0


def test_ninety_percent_is_sold_whatever_the_number_of_chunks():
    def ware(name, slices):
        return Ware(name, name, "1", 100, slices, 1000, {})

    assert two(ware("a", 5)) == {"own": (ware("a", 5), 2), "other": (ware("a", 5), 3)}
    assert two(ware("a", 4), ware("b", 8)) == {"own": (ware("a", 4), 2), "other": (ware("b", 8), 4)}
    assert two(ware("a", 4), ware("b", 9))["other"] == (ware("b", 9), 4)


def test_answers_that_end_by_themselves_are_asked_for_with_prompts_of_their_own():
    side = Side(1, WRONG, varied=True)
    asks = side.asks(1, count=3)
    assert len({tuple(ask.body["prompt"]) for ask in asks}) == 3
    assert {len(ask.body["prompt"]) for ask in asks} == {1024}
    assert all(END_ID not in ask.body["prompt"] and ask.body["max_tokens"] == 4096 for ask in asks)
    assert side.asks(1, count=3) == asks
    assert TENANT.requests_per_s(side) == pytest.approx(1152 / SCALE.tokens(1024, 200))


def test_the_book_keeps_what_was_measured_and_drops_what_could_not_be(tmp_path):
    book = Book(tmp_path)
    book.note({"a": 1.0, "b": 2.0})
    book = Book(tmp_path)
    book.note({"a": math.nan, "c": 3})
    assert json.loads((tmp_path / "guarantee.json").read_text()) == {"b": 2.0, "c": 3}
    assert Book(tmp_path, fresh=True).figures == {}


def test_the_report_shows_runs_and_counts_refusals_below_the_allotment(tmp_path):
    book = Book(tmp_path)
    good = [row(n * 4) for n in range(20)]
    refused = [*good, row(81, outcome=Outcome.REFUSED)]
    book.add(record(ran(every(2)), "neighbour_", "a title", Way.GATE))
    book.add(record(ran(every(4)), "neighbour_", "a title", Way.NO_GATE))
    book.add(record(ran(refused, load=0.8), "neighbour_", "a title", Way.GATE))
    book.add(record(ran(refused, load=0.8), "neighbour_", "a title", Way.BUCKETS))
    book.note({"jain_excess": 0.99, "excess_small_over_bought": 0.5, "excess_large_over_bought": 0.4, "work_over_t": 1})
    text = write(book).read_text()
    assert book.figures["refusals_below_allotment"] == 1
    assert "neighbour: a title" in text
    assert "tokens per minute" in text
    for name in ("neighbour", "ttft", "excess"):
        assert f"![guarantee-{name}.png]" in text
        assert (tmp_path / f"guarantee-{name}.png").stat().st_size > 1000


async def test_an_engine_that_is_gone_is_passed_over(tmp_path):
    from guarantee import engine

    (tmp_path / "gone.sock").touch()
    assert await asyncio.wait_for(engine.running([tmp_path / "gone.sock"]), 60) == []


def test_the_book_reads_what_another_program_wrote(tmp_path):
    book = Book(tmp_path)
    book.note({"a": 1.0})
    Book(tmp_path).note({"b": 2.0})
    book.read()
    book.note({"c": 3.0})
    assert Book(tmp_path).figures == {"a": 1.0, "b": 2.0, "c": 3.0}
