"""A round over all served entities: nothing is sold twice, minimums stand, and replicas come and go with demand."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.scaling import Kind, Policy, Sample
from penstock.domain.scaling_room import Part
from penstock.domain.scaling_round import Memory, Standing, look

POLICY = Policy()


def standing(*parts, maximum=3000.0, share=0.1, **more):
    """An entity whose chunks are 100 tokens/s, with (device, floor, allotted) parts."""
    made = tuple(Part(*part) for part in parts)
    return Standing(sum(one.floor for one in made), maximum, 100.0, share, made, [], **more)


def asking(one, rate, now=100.0):
    """The entity with a steady demand until now."""
    return replace(one, samples=[Sample(now - 60 + n, n * rate, 0.0) for n in range(61)])


def after(one, verdict, *ready):
    """How it stands when the verdict is carried out; further replicas are ready on these devices."""
    floors = {part.device: part.floor for part in one.parts}
    names = [*floors, *(name for name in ready if name not in floors)]
    parts = tuple(Part(name, floors.get(name, 0.0), verdict.parts.get(name, 0.0)) for name in names)
    return replace(one, parts=parts, memory=verdict.memory)


def test_chunks_go_where_there_is_room_beside_an_uneven_minimum():
    one = asking(standing(("x", 900, 900), ("y", 200, 200)), 1400)
    [verdict] = look(100, POLICY, [one])
    assert verdict.parts == {"x": 900, "y": 700}
    assert verdict.kind is Kind.UP


def test_what_is_free_is_shared_in_proportion_to_what_is_asked():
    big, small = asking(standing(("x", 100, 100)), 800), asking(standing(("x", 100, 100)), 450)
    verdicts = look(100, POLICY, [big, small, standing(("x", 100, 100))])
    assert [one.allotment for one in verdicts] == [500, 300, 100]
    assert "but the device has 4 chunks free" in verdicts[0].reason
    assert [one.allotment for one in look(100, POLICY, [replace(big, chunk_share=0.2), small])] == [300, 300]


def test_a_replica_is_started_where_there_is_room_and_its_chunks_are_kept_for_it():
    full = standing(("x", 700, 700))
    one = asking(standing(("x", 200, 200), startup_s=4.0, places={"y": 0.5, "z": 0.3}), 400)
    first = look(100, POLICY, [full, one])[1]
    assert first.kind is Kind.STARTED
    assert first.further == {"z"}, "it fits there, and leaves more on the other"
    assert (first.coming, first.ready_in_s) == (300, 4.0)
    assert first.parts == {"x": 200}
    zed, one, rival = one, replace(one, places={"y": 0.5}), standing(("y", 400, 400))
    verdicts = look(100, POLICY, [full, one, rival])
    assert verdicts[1].further == {"y"}
    one, rival = after(one, verdicts[1]), after(rival, verdicts[2])
    again = look(101, POLICY, [full, asking(one, 400, 101), asking(rival, 2000, 101)])
    assert (again[1].kind, again[1].ready_in_s) == (Kind.HELD, 3.0)
    assert again[2].allotment == 600
    ready = look(104, POLICY, [full, asking(after(zed, first, "z"), 400, 104)])[1]
    assert (ready.parts, ready.coming, ready.kind) == ({"x": 200, "z": 300}, 0, Kind.UP)


def test_minimums_that_are_not_served_yet_and_a_short_burst_start_nothing():
    one = asking(standing(("x", 900, 900), startup_s=4.0), 1500)
    assert look(100, POLICY, [replace(one, places={"y": 0.0})])[0].further == set()
    assert look(100, POLICY, [replace(one, places={"y": 0.2})])[0].coming == 200
    quiet = [Sample(40.0 + n, 0, 0) for n in range(59)]
    burst = replace(one, samples=[*quiet, Sample(99.0, 8000, 0), Sample(100.0, 16_000, 0)], places={"y": 0.9})
    assert look(100, POLICY, [burst])[0].further == {"y"}
    assert look(100, POLICY, [replace(burst, startup_s=20.0)])[0].further == set()


def test_what_runs_for_others_is_joined_without_a_start_for_a_burst_too():
    one = standing(("x", 900, 900), startup_s=20.0, places={"y": 0.5, "z": 0.9}, running=frozenset({"y"}))
    quiet = [Sample(40.0 + n, 0, 0) for n in range(59)]
    burst = replace(one, samples=[*quiet, Sample(99.0, 8000, 0), Sample(100.0, 16_000, 0)])
    [joined] = look(100, POLICY, [burst])
    assert (joined.kind, joined.further) == (Kind.STARTED, {"y"}), "none is started for a burst"
    assert (joined.coming, joined.startup_s, joined.ready_in_s) == (500, 0, 0)
    assert "The replica that runs on y is joined, for 5 chunks." in joined.reason
    [still] = look(101, POLICY, [after(burst, joined)])
    assert still.further == {"y"}
    assert still.coming >= 500, "what is not reserved there for others is kept for it"
    [ready] = look(101, POLICY, [after(burst, joined, "y")])
    assert ready.parts["y"] >= 500
    [both] = look(100, POLICY, [asking(one, 1700)])
    assert both.further == {"y", "z"}
    assert (both.coming, both.startup_s, both.ready_in_s) == (1000, 20, 0)


def started(now=100.0):
    """An entity of one chunk on a device that is full, which has five more on a further replica."""
    one = standing(("x", 100, 100), startup_s=4.0, places={"y": 0.9})
    verdict = look(now, POLICY, [asking(one, 500, now), standing(("x", 800, 800))])[0]
    one = replace(after(one, verdict, "y"), places={})
    verdict = look(now + 4, POLICY, [asking(one, 500, now + 4), standing(("x", 800, 800))])[0]
    assert verdict.parts == {"x": 100, "y": 500}
    return after(one, verdict, "y")


@pytest.mark.parametrize(("startup_s", "window_s"), [(4.0, 120), (30.0, 300)])
def test_a_replica_ends_when_the_window_of_its_start_up_time_did_not_need_it(startup_s, window_s):
    one = replace(started(), startup_s=startup_s)
    others = standing(("x", 600, 600))
    for now in range(105, 105 + window_s):
        verdict = look(now, POLICY, [asking(one, 250, now), others])[0]
        one = after(one, verdict, "y")
        if verdict.kind is Kind.STOPPED:
            break
    assert now == 104 + window_s
    assert (verdict.further, verdict.allotment, verdict.parts["x"]) == (set(), 300, 300)


def test_a_replica_stays_while_the_others_have_no_room_for_what_is_wanted():
    one = started()
    for now in range(105, 600, 5):
        verdict = look(now, POLICY, [asking(one, 250, now), standing(("x", 800, 800))])[0]
        one = after(one, verdict, "y")
    assert verdict.parts == {"x": 100, "y": 200}
    assert verdict.further == {"y"}


def test_one_that_does_not_come_is_given_up_and_tried_again_later():
    one = standing(("x", 100, 100), startup_s=4.0, places={"y": 0.9})
    kinds = {}
    for now in range(100, 300):
        verdict = look(now, POLICY, [asking(one, 500, now), standing(("x", 800, 800))])[0]
        one = after(one, verdict)
        if verdict.changed:
            kinds[now] = verdict.kind
    assert kinds == {100: Kind.STARTED, 165: Kind.STOPPED, 225: Kind.STARTED, 290: Kind.STOPPED}


def test_one_that_is_lost_is_told_and_waited_for():
    one = started()
    lost = replace(one, parts=one.parts[:1])
    verdict = look(200, POLICY, [asking(lost, 500, 200), standing(("x", 800, 800))])[0]
    assert (verdict.kind, verdict.before, verdict.allotment) == (Kind.RECLAIMED, 600, 100)
    assert verdict.reason.startswith("The replica on y is gone.")
    assert verdict.further == {"y"}
    assert (verdict.coming, verdict.ready_in_s) == (500, 4.0)


def test_what_a_minimum_or_the_band_did_is_a_decision_too():
    one = asking(replace(standing(("x", 100, 400)), memory=Memory(given=900.0)), 350)
    displaced = look(100, POLICY, [one])[0]
    assert (displaced.kind, displaced.before, displaced.allotment) == (Kind.RECLAIMED, 900, 400)
    narrower = look(100, POLICY, [replace(one, maximum=400.0)])[0]
    assert (narrower.kind, narrower.before) == (Kind.BAND, 900)
    raised = look(100, POLICY, [replace(standing(("x", 600, 600)), memory=Memory(given=100.0))])[0]
    assert (raised.kind, raised.before, raised.allotment) == (Kind.BAND, 100, 600)


def test_one_that_sleeps_or_falls_asleep_has_no_further_replica():
    asleep = asking(standing(("", 0, 0), places={"y": 0.9}, startup_s=1.0), 500)
    assert look(100, POLICY, [asleep])[0].further == set()
    one = replace(started(), minimum=0.0, parts=(Part("x", 0, 100), Part("y", 0, 500)), idle_s=2000.0)
    verdict = look(1000, POLICY, [one])[0]
    assert (verdict.allotment, verdict.further) == (0, set())


DEVICES = ("x", "y", "z")
BANDS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(DEVICES), st.integers(0, 5), min_size=1),
        st.integers(0, 20),
        st.sampled_from([0.05, 0.1, 0.15]),
        st.sampled_from([0.0, 4.0, 30.0]),
    ),
    max_size=5,
)
RATES = st.lists(st.lists(st.floats(0, 4000), min_size=5, max_size=5), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(BANDS, RATES, st.data())
def test_floors_stand_and_no_device_is_sold_beyond_what_it_has(bands, seconds, data):
    entities, sold = [], dict.fromkeys(DEVICES, 0.0)
    for floors, more, share, startup_s in bands:
        if all(sold[name] + chunks * share <= 0.9 for name, chunks in floors.items()):
            for name, chunks in floors.items():
                sold[name] += chunks * share
            parts = [(name, chunks * 100.0, chunks * 100.0) for name, chunks in floors.items()]
            entities.append(
                standing(*parts, maximum=(sum(floors.values()) + more) * 100.0, share=share, startup_s=startup_s)
            )
    arrived = [0.0] * len(entities)
    histories = [[Sample(-1.0, 0.0, 0.0)] for _ in entities]
    for step, rates in enumerate(seconds):
        now = step * 20.0
        for number, rate in enumerate(rates[: len(entities)]):
            arrived[number] += rate * 20
            histories[number].append(Sample(now, arrived[number], 0.0))
            one = entities[number]
            there = {part.device for part in one.parts} | one.memory.reaches.keys()
            places = {name: 0.9 - sold[name] for name in DEVICES if name not in there}
            entities[number] = replace(one, samples=list(histories[number]), places=places)
        verdicts = look(now, POLICY, entities)
        used = dict.fromkeys(DEVICES, 0.0)
        for one, verdict in zip(entities, verdicts, strict=True):
            assert one.minimum - 1e-6 <= verdict.allotment <= max(one.maximum, one.minimum) + 1e-6
            assert verdict.allotment == pytest.approx(sum(verdict.parts.values()))
            for part in one.parts:
                assert verdict.parts[part.device] >= part.floor - 1e-6
                used[part.device] += verdict.parts[part.device] / 100 * one.chunk_share
            for name, reach in verdict.memory.reaches.items():
                used[name] += 0 if reach.ready else reach.chunks * one.chunk_share
            assert verdict.reason.endswith(".")
        assert all(share <= 0.9 + 1e-6 for share in used.values())
        for number, verdict in enumerate(verdicts):
            ready = [name for name in sorted(verdict.further) if data.draw(st.booleans())]
            had = [part.device for part in entities[number].parts if part.floor or part.device in verdict.further]
            home = [part.device for part in entities[number].parts if part.device not in verdict.further]
            keep = [name for name in home if name not in entities[number].memory.reaches] + had
            one = after(entities[number], verdict, *ready)
            kept = tuple(part for part in one.parts if part.device in {*keep, *ready})
            entities[number] = replace(one, parts=kept)
