"""Placement over several devices: nothing is sold twice, what fits is placed, and what stands stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.packing import place
from penstock.domain.placement import Claim, Device, Need, Reservation, left, reservations
from penstock.domain.replica import Replica, ReplicaState

GIB = 2**30
DEVICES = tuple(Device(f"cpu{number}", "test", 8 * GIB) for number in range(3))
CHUNK = 0.1


def need(spec="a", chunks=1, memory=GIB, **more):
    return Need(spec, f"main.default.{spec}/1", chunks, CHUNK, memory, **more)


def replica(claim, state=ReplicaState.READY):
    return Replica(
        f"{claim.spec}-{claim.device}", claim.spec, "m", "1", state, "", claim.memory,
        "", 0, 0.0, 0, 0, claim.device,
    )  # fmt: skip


def shares(placement):
    return {one.device: round(one.share, 9) for one in placement.claims if one.place}


def test_one_goes_where_it_leaves_least():
    held = [Reservation("x", 0.5, GIB, "cpu1"), Reservation("y", 0.2, GIB, "cpu2")]
    assert shares(place("e", [need(chunks=4)], DEVICES, held)) == {"cpu1": 0.4}
    assert shares(place("e", [need(chunks=5)], DEVICES, held)) == {"cpu2": 0.5}


def test_more_than_a_device_is_split_in_whole_chunks_over_as_few_as_will_do():
    held = [Reservation("x", 0.65, GIB, "cpu0")]
    made = place("e", [need(chunks=11)], DEVICES, held)
    assert shares(made) == {"cpu1": 0.9, "cpu0": 0.2}
    assert [one.memory for one in made.claims] == [GIB, GIB]


def test_a_device_without_memory_is_left_out_and_what_has_no_place_is_told():
    held = [Reservation("x", 0, 8 * GIB, "cpu0"), Reservation("x", 0, 8 * GIB, "cpu1")]
    made = place("e", [need(chunks=12)], DEVICES, held)
    assert shares(made) == {"cpu2": 0.9}
    assert "120.0% of a device's throughput in chunks of 10.0% and 1,024 MiB" in made.missing["a"]
    assert "x on cpu0 (0.0%, 8,192 MiB)" in made.missing["a"]


def test_what_grows_stays_where_it_is_first_and_what_shrinks_gives_up_the_newest():
    before = place("e", [need(chunks=9)], DEVICES, [Reservation("x", 0.5, 0, "cpu0")])
    assert shares(before) == {"cpu1": 0.9}
    live = [replica(one) for one in before.claims]
    grown = place("e", [need(chunks=12)], DEVICES, (), live=live, before=before.claims)
    assert shares(grown) == {"cpu1": 0.9, "cpu0": 0.3}
    live += [replica(one) for one in grown.claims if one.device == "cpu0"]
    shrunk = place("e", [need(chunks=9)], DEVICES, (), live=live, before=grown.claims)
    assert shares(shrunk) == {"cpu1": 0.9}


def test_a_crashed_replica_is_replaced_where_it_was():
    before = place("e", [need(chunks=12)], DEVICES, ())
    assert shares(before) == {"cpu0": 0.9, "cpu1": 0.3}
    live = [replica(one) for one in before.claims if one.device == "cpu1"]
    assert shares(place("e", [need(chunks=12)], DEVICES, (), live=live, before=before.claims)) == shares(before)


def test_what_was_claimed_tells_where_things_were_after_a_restart():
    before = place("e", [need(chunks=12)], DEVICES, ())
    again = place("e", [need(chunks=12)], DEVICES, (), before=before.claims[::-1])
    assert shares(again) == shares(before) == {"cpu0": 0.9, "cpu1": 0.3}


def test_what_runs_for_somebody_is_joined_and_takes_no_memory_more():
    held = reservations("x", [Claim("a", "cpu2", 0.2, 7 * GIB)])
    big = need(chunks=4, memory=7 * GIB)
    assert shares(place("e", [big], DEVICES, held)) == {"cpu2": 0.4}
    full = [*held, Reservation("y", 0, GIB, "cpu2"), *(Reservation("y", 0, 2 * GIB, one) for one in ("cpu0", "cpu1"))]
    made = place("e", [big], DEVICES, full, live=[replica(Claim("a", "cpu2", 0.2, 7 * GIB))])
    assert made.claims == (Claim("a", "cpu2", pytest.approx(0.4), 7 * GIB),)
    assert shares(place("e", [need(chunks=0, memory=7 * GIB)], DEVICES, full)) == {"cpu2": 0}
    assert "a" in place("e", [need(chunks=8, memory=7 * GIB)], DEVICES, full).missing


def test_a_replica_where_it_is_not_wanted_is_the_others_alone():
    held = reservations("x", [Claim("a", "cpu0", 0.2, GIB)])
    live = [replica(Claim("a", "cpu0", 0.2, GIB))]
    assert place("e", (), DEVICES, held, live=live).claims == ()
    assert place("e", (), DEVICES, (), live=live).claims == (Claim("a", "cpu0", 0, GIB, place=False),)


def test_an_estimate_takes_one_device_and_at_most_what_is_free():
    held = [Reservation("x", 0.4, 0, one.name) for one in DEVICES]
    made = place("e", [need(chunks=30, estimated=True)], DEVICES, held)
    assert shares(made) == {"cpu0": 0.5}
    assert not made.missing
    two = [need("a", 9, estimated=True), need("b", 9, estimated=True)]
    assert shares(place("e", two, DEVICES[:1], ())) == {"cpu0": 0.45}
    sold_out = [Reservation("x", 0.9, 0, one.name) for one in DEVICES]
    assert set(place("e", two, DEVICES, sold_out).missing) == {"a", "b"}


def test_a_guess_is_not_in_the_way_of_another_nor_of_what_was_measured_with_it():
    [first] = place("e", [need(chunks=9, estimated=True)], DEVICES[:1], ()).claims
    assert (first.share, first.wish) == (pytest.approx(0.9), pytest.approx(0.9 - 0.9 / 16))
    held = reservations("e", [first])
    for spec in "ab":
        [second] = place("f", [need(spec, 9, estimated=True)], DEVICES[:1], held).claims
        assert (second.share, second.wish) == (0.9 / 16, 0)
    assert shares(place("f", [need(chunks=3)], DEVICES[:1], held)) == {"cpu0": 0.3}
    assert "b" in place("f", [need("b", chunks=3)], DEVICES[:1], held).missing
    [again] = place("e", [need(chunks=9, estimated=True)], DEVICES[:1], reservations("f", [second])).claims
    assert again.share == pytest.approx(0.9 - 0.9 / 16)


def test_a_replica_without_a_share_takes_memory_where_most_time_is_left():
    held = [Reservation("x", 0.4, 0, "cpu0"), Reservation("x", 0.1, 0, "cpu1")]
    made = place("e", [need(chunks=0)], DEVICES, held)
    assert shares(made) == {"cpu2": 0.0}
    assert made.claims[0].memory == GIB


def test_what_drains_holds_its_memory_until_it_has_ended():
    [claim] = place("e", [need()], DEVICES[:1], ()).claims
    leaving = [replica(claim, ReplicaState.DRAINING)]
    [left] = place("e", (), DEVICES[:1], (), live=leaving, before=[claim]).claims
    assert (left.place, left.share, left.memory) == (False, 0, GIB)


@pytest.mark.parametrize("state", [ReplicaState.READY, ReplicaState.LOADING])
def test_a_replica_for_which_nothing_is_left_stands_all_the_same(state):
    [claim] = place("e", [need()], DEVICES[:1], ()).claims
    full = [Reservation("x", 0.9, 0, "cpu0")]
    made = place("e", [need()], DEVICES[:1], full, live=[replica(claim, state)], before=[claim])
    assert shares(made) == {"cpu0": 0}
    assert "10.0% of the device's throughput is needed and 0.0% is free" in made.missing["a"]


NEEDS = st.lists(
    st.builds(
        lambda spec, chunks, slices, memory, estimated: Need(
            spec, spec, chunks, 0.9 / slices, memory * GIB, estimated=estimated
        ),
        st.sampled_from("abcd"), st.integers(0, 30), st.integers(1, 16), st.integers(0, 9), st.booleans(),
    ),
    max_size=3, unique_by=lambda one: one.spec,
)  # fmt: skip
LIVES = st.lists(st.tuples(st.sampled_from(["e1", "e2", "e3", "e4"]), NEEDS), max_size=12)


def others(held, name):
    return [one for key, claims in held.items() if key != name for one in reservations(key, claims)]


def running(held):
    """One replica in every place, however many hold it."""
    largest = {}
    for claim in (one for claims in held.values() for one in claims):
        before = largest.get((claim.spec, claim.device))
        largest[claim.spec, claim.device] = claim if before is None or before.memory < claim.memory else before
    return [replica(one) for one in largest.values()]


@given(LIVES)
def test_no_device_is_ever_sold_beyond_what_it_has(lives):
    held = {}
    for name, asked in lives:
        mine = {one.spec for one in (*asked, *held.get(name, ()))}
        live = [one for one in running(held) if one.spec in mine]
        made = place(name, asked, DEVICES, others(held, name), live=live, before=held.get(name, ()))
        firm = not any(one.spec in made.missing for one in asked)
        # As a plan does: an update that does not fit fails, and the endpoint holds what it held.
        held[name] = [one for one in made.claims if one.place] if firm else held.get(name, ())
        for device in DEVICES:
            share, memory = left(device, others(held, ""))
            assert share + sum(one.wish for one in others(held, "") if one.device == device.name) >= -1e-6
            assert memory >= 0


@given(LIVES, NEEDS, st.booleans())
def test_the_same_wish_gets_the_same_places_again(lives, asked, running):
    held = {}
    for name, wishes in lives:
        made = place(name, wishes, DEVICES, others(held, name))
        held[name] = made.claims if not made.missing else ()
    rest = others(held, "e1")
    first = place("e1", asked, DEVICES, rest)
    if first.missing:
        return
    live = [replica(one) for one in first.claims] if running else ()
    again = place("e1", asked, DEVICES, rest, live=live, before=first.claims)
    assert not again.missing
    assert set(again.places) == set(first.places)
    exact = {one.spec for one in asked if not one.estimated}
    assert {(one.spec, one.device): pytest.approx(one.share) for one in first.claims if one.spec in exact} == {
        (one.spec, one.device): one.share for one in again.claims if one.spec in exact
    }
    # Room that others give up later moves nothing.
    later = place("e1", asked, DEVICES, (), live=live, before=first.claims)
    assert set(later.places) == set(first.places)


@given(LIVES, st.integers(1, 40), st.integers(1, 16), st.integers(0, 9))
def test_what_fits_somewhere_is_placed_and_all_of_it(lives, chunks, slices, memory):
    held = {}
    for name, wishes in lives:
        made = place(name, wishes, DEVICES, others(held, name))
        held[name] = made.claims if not made.missing else ()
    rest = others(held, "new")
    asked = Need("n", "n", chunks, 0.9 / slices, memory * GIB)
    room = 0
    for device in DEVICES:
        share, memory_left = left(device, rest)
        if asked.memory <= memory_left:
            room += asked.whole(share)
    made = place("new", [asked], DEVICES, rest)
    assert ("n" in made.missing) == (room < chunks)
    if not made.missing:
        assert sum(one.share for one in made.claims) == pytest.approx(asked.share)


def soft(made, name):
    """What others see of a holder's claims, all of which run."""
    return list(reservations(name, made.claims))


def test_a_further_replica_takes_memory_and_no_share():
    made = place("e", [need(chunks=2, further=("cpu1", "cpu2"))], DEVICES, [Reservation("x", 0.9, 8 * GIB, "cpu2")])
    assert shares(made) == {"cpu0": 0.2, "cpu1": 0.0}
    assert [one.soft for one in made.claims if one.place] == [False, True]
    assert [one.soft for one in soft(made, "e")] == [0, GIB]
    live = [replica(one) for one in made.claims if one.place]
    again = place("e", [need(chunks=2, further=("cpu1",))], DEVICES, (), live=live, before=made.claims)
    assert shares(again) == shares(made)
    assert shares(place("e", [need(chunks=2)], DEVICES, (), live=live, before=again.claims)) == {"cpu0": 0.2}


def test_a_minimum_that_grows_takes_over_the_further_replica_before_another_device():
    first = place("e", [need(chunks=9, further=("cpu2",))], DEVICES, ())
    live = [replica(one) for one in first.claims if one.place]
    grown = place("e", [need(chunks=12, further=("cpu2",))], DEVICES, (), live=live, before=first.claims)
    assert shares(grown) == {"cpu0": 0.9, "cpu2": 0.3}
    assert not any(one.soft for one in grown.claims)


@pytest.mark.parametrize("holder", [need("s", 1, further=("cpu1",)), need("s", 0, firm=False)])
def test_a_minimum_displaces_a_replica_that_no_minimum_asks_for(holder):
    # Two replicas fit on cpu0 and one on cpu1.
    full = [Reservation("x", 0, gib * GIB, f"cpu{number}") for number, gib in enumerate((6, 7, 8))]
    old = place("old", [holder], DEVICES, full)
    assert old.claims[-1].soft
    live = [replica(one) for one in old.claims if one.place]
    rest = [*full, Reservation("y", 0, GIB, "cpu0"), *([] if holder.firm else [Reservation("y", 0, GIB, "cpu1")])]
    new = place("new", [need("n")], DEVICES, [*rest, *soft(old, "old")])
    assert not new.missing
    assert shares(new) == {live[-1].device: 0.1}
    # Its holder sees it and lets go; what is ending does not count a second time.
    gone = place("old", [holder], DEVICES, [*rest, *soft(new, "new")], live=live, before=old.claims)
    assert live[-1].device not in shares(gone)
    [leaving] = [one for one in soft(gone, "old") if one.device == live[-1].device]
    assert (leaving.soft, leaving.leaving) == (0, GIB)
    again = place("new", [need("n")], DEVICES, [*rest, *soft(gone, "old")], before=new.claims)
    assert shares(again) == shares(new)


def test_one_yields_to_a_minimum_and_not_two():
    full = [Reservation("x", 0, 6 * GIB, "cpu0")]
    held = {name: place(name, [need(name, 0, firm=False)], DEVICES[:1], full) for name in ("a", "b")}
    live = {name: [replica(one) for one in made.claims] for name, made in held.items()}

    def rest(name):
        return [*full, *(one for key, made in held.items() if key != name for one in soft(made, key))]

    held["new"] = place("new", [need("n")], DEVICES[:1], rest("new"))
    assert not held["new"].missing
    for name in ("a", "b"):
        asked = [need(name, 0, firm=False)]
        held[name] = place(name, asked, DEVICES[:1], rest(name), live=live[name], before=held[name].claims)
    assert [bool(shares(held[name])) for name in ("a", "b")] == [False, True]


MIXED = (Device("gpu0", "gpu/A/1", 8 * GIB), Device("gpu1", "gpu/A/1", 8 * GIB), Device("cpu", "cpu/B/2", 8 * GIB))


def test_each_goes_to_devices_of_its_kind_only():
    made = place("e", [need("a", chunks=12, kind="gpu"), need("b", chunks=2, kind="cpu")], MIXED, ())
    assert {(one.spec, one.device) for one in made.claims} == {("a", "gpu0"), ("a", "gpu1"), ("b", "cpu")}
    assert not made.missing


def test_what_finds_no_room_on_its_kind_is_told_of_these_devices_alone():
    made = place("e", [need(chunks=12, kind="cpu")], MIXED, ())
    assert shares(made) == {"cpu": 0.9}
    assert made.missing["a"].startswith("Insufficient capacity on cpu for e:")
    assert "gpu0" not in made.missing["a"]


def test_places_and_wishes_on_another_kind_are_given_up():
    before = (Claim("a", "cpu", 0.1, GIB),)
    made = place("e", [need(kind="gpu", further=("cpu", "gpu1"))], MIXED, (), before=before)
    assert shares(made) == {"gpu0": 0.1, "gpu1": 0.0}
