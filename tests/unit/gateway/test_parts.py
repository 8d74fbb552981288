"""The parts of the gateway by themselves."""

import asyncio
import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import DONE, endpoint, event, replica

from penstock.domain.acl import Acl
from penstock.domain.errors import Overloaded
from penstock.domain.usage import Usage
from penstock.gateway.ledger import MOST_TEXT, _short
from penstock.gateway.rooms import Rooms
from penstock.gateway.table import Table
from penstock.gateway.tail import Tail, usage_of
from penstock.testing.acl import OPEN
from penstock.testing.clock import FakeClock


@given(st.lists(st.integers(0, 200), max_size=8), st.integers(1, 6), st.sampled_from([0.0, 0.25]))
def test_events_are_whole_however_they_are_cut_and_what_was_measured_stays_here(cuts, events, seconds):
    plain = b"".join(event(count) for count in range(events))
    stream = plain + (b": device-seconds %.6f\n" % seconds if seconds else b"") + DONE
    tail, passed = Tail(), b""
    bounds = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    for start, end in itertools.pairwise(bounds):
        part = tail.feed(stream[start:end])
        assert part == b"" or part.endswith(b"\n\n")
        passed += part
    assert passed == plain + DONE
    assert tail.done
    assert tail.usage() == Usage(5, events - 1, 0, seconds)


def test_what_an_engine_tells_of_its_time_is_taken_only_if_it_is_one():
    for told in (b"x", b"nan", b"inf", b"-1", b""):
        tail = Tail()
        assert tail.feed(event(1) + b": device-seconds " + told + b"\n" + DONE) == event(1) + DONE
        assert tail.measured_s == 0


def test_usage_that_an_engine_tells_only_us_counts_and_goes_no_further():
    told = b': usage {"prompt_tokens":5,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":2}}\n'
    tail = Tail()
    assert tail.feed(event(1) + told + b": device-seconds 0.5\n" + DONE) == event(1) + DONE
    assert tail.usage() == Usage(5, 9, 2, 0.5)
    tail = Tail()
    assert tail.feed(event(1)) == event(1)
    assert tail.feed(b": usage nonsense\n" + DONE) == DONE
    assert tail.usage() == Usage(5, 1, 0)


def test_usage_is_found_before_events_without_it_and_absent_usage_is_none():
    tail = Tail()
    tail.feed(event(3) + b'data: {"choices":[]}\n\n' + DONE)
    assert tail.usage() == Usage(5, 3, 0)
    assert not tail.broken()
    assert Tail().usage() is None
    assert usage_of(b"not json") is None
    assert usage_of(b'{"usage":null}') is None
    assert usage_of(b'{"usage":{"prompt_tokens":4,"total_tokens":4}}') == Usage(4, 0, 0)


def test_a_broken_stream_is_told_by_its_last_event():
    tail = Tail()
    tail.feed(event(3) + b'data: {"error":{"message":"x"}}\n\n')
    assert tail.broken()
    assert tail.usage() == Usage(5, 3, 0)


async def test_the_gate_learns_how_long_requests_last():
    clock = FakeClock()
    gate = Rooms(clock)
    only = replica(1, running=1, queue=0)
    for _ in range(60):
        passed = gate.enter([only])
        other = gate
        await clock.advance(10)
        with pytest.raises(Overloaded):
            other.enter([only])
        gate.leave(passed)
    both = replica(2, running=1, queue=1)
    first = gate.enter([both])
    for _ in range(60):
        second = gate.enter([both])
        await clock.advance(10)
        gate.leave(second)
    gate.enter([both])
    with pytest.raises(Overloaded) as refused:
        gate.enter([both])
    assert refused.value.retry_after_s == 20
    gate.leave(first)


async def test_grants_that_changed_win_over_those_of_what_was_read_before():
    table, none = Table(FakeClock()), Acl()
    table.publish(endpoint(replica(1)))
    assert table.find("guide").acl == OPEN
    table.permit("e1", none)
    assert table.find("guide").acl == table.current("e1").acl == none
    table.publish(endpoint(replica(2)))
    assert table.find("guide").acl == none
    assert table.current("e1").entities == endpoint(replica(2)).entities
    table.permit("e1", OPEN)
    assert table.find("guide") == endpoint(replica(2))
    table.permit("e2", none)
    assert table.find("guide").acl == OPEN


async def test_grants_of_an_endpoint_that_is_gone_do_not_bring_its_name_back():
    table = Table(FakeClock())
    old = endpoint(replica(1))
    table.publish(old)
    new = replace(old, id="e2")
    table.publish(new)
    table.permit("e1", Acl())
    assert table.find("guide") is new


async def test_a_name_given_to_a_new_endpoint_survives_the_withdrawal_of_the_old_one():
    table = Table(FakeClock())
    old = endpoint(replica(1))
    table.publish(old)
    new = type(old)("e2", old.name, old.creator, old.task, old.routes, old.entities)
    table.publish(new)
    table.withdraw("e1")
    assert table.find("guide") is new
    assert table.names() == ["guide"]
    table.withdraw("e2")
    assert table.names() == []
    assert table.current("e2") is None


async def test_idle_time_counts_from_publication_and_survives_new_snapshots():
    clock = FakeClock()
    table = Table(clock)
    assert table.idle_s("e1", "guide-1") == 0
    table.publish(endpoint(replica(1)))
    await clock.advance(5)
    table.publish(endpoint(replica(2)))
    assert table.idle_s("e1", "guide-1") == 5
    with table.activity("e1", "guide-1"):
        await clock.advance(5)
        assert table.idle_s("e1", "guide-1") == 0
        table.publish(endpoint(replica(1)))
    await clock.advance(2)
    assert table.idle_s("e1", "guide-1") == 2


async def test_waiting_for_a_change_ends_in_time():
    clock = FakeClock()
    table = Table(clock)
    assert await table.changed("e1", 1)
    table.publish(endpoint())
    waits = asyncio.ensure_future(table.changed("e1", 3))
    await clock.advance(3)
    assert await waits is False


@given(st.text(st.characters()))
def test_what_others_write_into_the_ledger_can_be_stored(text):
    kept = _short(text)
    assert len(kept) <= MOST_TEXT
    assert "\0" not in kept
    assert kept.encode().decode() == kept
    if "\0" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text):
        assert kept == text[:MOST_TEXT]
