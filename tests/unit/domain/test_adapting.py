"""What becomes of adapters of a replica."""

from penstock.domain.adapting import Load, Unload, changes, has_all, lacks_room, refused, stepped_room
from penstock.domain.replica import Replica, ReplicaState
from penstock.domain.steps import Adapted, Drain, Seen, Step

SPEC = "main.default.a/1/default/()"
REPLICA = Replica("r1", SPEC, "main.default.a", "1", ReplicaState.READY, "", 1, "unix:/x", 1, 1.0, 1, 1, "cpu")


def one(state=ReplicaState.READY, action=None, **adapted):
    replica = Replica("r1", SPEC, "main.default.a", "1", state, "", 1, "unix:/x", 1, 1.0, 1, 1, "cpu")
    return Step(Seen(replica, adapted=Adapted(**{"room": 32, **adapted})), action)


ROOM = {SPEC: 32}


def names(*given):
    return {SPEC: frozenset(given)}


def test_what_is_wanted_is_loaded_and_what_nobody_wants_is_dropped():
    step = one(loaded=frozenset("bc"), busy=frozenset("d"), refused={"e": "too large"})
    found = changes(step, names(*"abde"), names(*"abde"), ROOM)
    assert found == [Load(REPLICA, "a"), Unload(REPLICA, "c")]
    assert changes(step, {}, names("b", "c"), ROOM) == []
    assert changes(one(busy=frozenset("x"), loaded=frozenset("x")), {}, {}, ROOM) == []


def test_nothing_is_done_to_engines_that_do_not_serve_or_have_no_room():
    for step in (one(room=0), one(ReplicaState.LOADING), one(action=Drain(REPLICA, "gone"))):
        assert changes(step, names("a"), names("a"), ROOM) == []


def test_into_one_with_too_little_room_nothing_is_loaded_but_what_nobody_wants_is_dropped():
    assert changes(one(loaded=frozenset("b")), names("a"), names("a"), {SPEC: 128}) == [Unload(REPLICA, "b")]


def test_a_replica_is_fit_when_it_has_all():
    assert has_all(one(loaded=frozenset("ab")), names("a", "b"))
    assert not has_all(one(loaded=frozenset("a")), names("a", "b"))
    assert has_all(one(), {"another": frozenset("a")})
    assert refused(one(refused={"b": "too large"}), names("a", "b")) == "Adapter b cannot be loaded: too large"
    assert refused(one(refused={"b": "too large"}), names("a")) == ""


def test_a_replica_without_room_is_told_apart():
    assert lacks_room(one(room=0), ROOM)
    assert lacks_room(one(), {SPEC: 128})
    assert not lacks_room(one(), ROOM)
    assert not lacks_room(one(room=128), ROOM)
    assert not lacks_room(one(room=0), {"another": 32})
    assert not lacks_room(one(ReplicaState.LOADING, room=0), ROOM)


def test_room_grows_in_few_steps():
    cases = {(): 0, (8,): 32, (16, 16): 32, (16, 17): 128, (64, 64): 128, (129,): 512}
    assert {ranks: stepped_room(ranks) for ranks in cases} == cases
