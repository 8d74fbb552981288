"""W3C trace context as it is read and told, and which traces are recorded."""

import pytest

from penstock.domain.trace_context import MOST_MEMBERS, MOST_STATE, TraceContext, read_context
from penstock.domain.trace_sampler import Sampler, SamplerKind

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def read(parent, *states):
    return read_context([parent.encode()], [state.encode() for state in states])


def test_what_is_valid_is_told_as_it_was():
    context = read(PARENT, "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE", "a@b=c")
    assert context == TraceContext(TRACE, SPAN, 1, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,a@b=c")
    assert context.sampled
    assert dict(context.headers) == {"traceparent": PARENT, "tracestate": context.state}
    assert read(f"00-{TRACE}-{SPAN}-02").headers == (("traceparent", f"00-{TRACE}-{SPAN}-02"),)


def test_a_version_to_come_is_read_as_far_as_it_is_known():
    assert read(f"cc-{TRACE}-{SPAN}-ff-what-the-future-brings").parent == f"00-{TRACE}-{SPAN}-03"
    assert read(f"01-{TRACE}-{SPAN}-01").sampled


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "x",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN[:-1]}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\r\nx: y",
        f"00-{TRACE}-{SPAN}-é",
    ],
)
def test_what_is_not_valid_was_not_sent(parent):
    assert read(parent, "a=b") is None


def test_two_parents_are_none():
    assert read_context([PARENT.encode()] * 2, []) is None
    assert read_context([], [b"a=b"]) is None


@pytest.mark.parametrize("state", ["a", "A=b", "a=b,a=c", "=b", "a=b\x00", "a=é", ",".join(["a=b"] * 33)])
def test_a_state_that_is_not_valid_is_left_out_alone(state):
    assert read(PARENT, state) == TraceContext(TRACE, SPAN, 1)


def test_a_long_state_loses_whole_members_from_its_end():
    members = [f"k{number}={'v' * 60}" for number in range(MOST_MEMBERS)]
    state = read(PARENT, ",".join(members)).state
    assert len(state) <= MOST_STATE < len(state) + 64
    assert state == ",".join(members[: state.count(",") + 1])


@pytest.mark.parametrize(
    ("kind", "alone", "wanted", "unwanted"),
    [
        (SamplerKind.ALWAYS_ON, True, True, True),
        (SamplerKind.ALWAYS_OFF, False, False, False),
        (SamplerKind.PARENT_ALWAYS_ON, True, True, False),
        (SamplerKind.PARENT_ALWAYS_OFF, False, True, False),
    ],
)
def test_parents_decide_where_the_sampler_lets_them(kind, alone, wanted, unwanted):
    sampler = Sampler(kind)
    told = (None, TraceContext(TRACE, SPAN, 1), TraceContext(TRACE, SPAN, 0))
    assert [sampler.samples(TRACE, parent) for parent in told] == [alone, wanted, unwanted]


def test_a_ratio_takes_that_part_of_the_ids_and_all_take_the_same():
    ids = [f"{number * 2654435761 % (1 << 64):032x}" for number in range(0, 1 << 20, 1 << 10)]
    half = Sampler(SamplerKind.RATIO, 0.5)
    by_low = [f"{'f' * 16}{low:016x}" for low in (0, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)]
    assert [half.samples(one, None) for one in by_low] == [True, True, False, False]
    assert all(Sampler(SamplerKind.RATIO, 1).samples(one, None) for one in ids)
    assert not any(Sampler(SamplerKind.RATIO, 0).samples(one, None) for one in ids)
    parent = TraceContext(ids[0], SPAN, 1)
    assert Sampler(SamplerKind.PARENT_RATIO, 0).samples(ids[0], parent)
    assert not Sampler(SamplerKind.RATIO, 0).samples(ids[0], parent)
