"""Rows of endpoints, replicas and profiles: one suite on memory, SQLite and PostgreSQL."""

from dataclasses import replace

import pytest

from penstock.domain.access import PermissionLevel
from penstock.domain.acl import Acl, Grantee, GranteeKind
from penstock.domain.endpoint import Config, Endpoint, Outcome
from penstock.domain.errors import AlreadyExists, DoesNotExist, PenstockError
from penstock.domain.external_forms import ProviderKind
from penstock.domain.external_model import ExternalEntity, ExternalModel
from penstock.domain.model import Precision, Task
from penstock.domain.notification import Notifications
from penstock.domain.placement import Claim
from penstock.domain.profile import CostModel, Fingerprint, Point, Profile
from penstock.domain.rate_limit import LimitKey, RateLimit
from penstock.domain.replica import Replica, ReplicaState
from penstock.domain.secret import SecretRef
from penstock.domain.served_entity import ServedEntity
from penstock.domain.telemetry import Telemetry
from penstock.domain.traffic import Route

GUIDE = ServedEntity(
    "guide-1", "main.default.guide", "1", 0, 5_000_000_000, True, (("A", "b"),), Precision.BF16, workload_size="Small",
    base=("main.default.base", "7"),
)  # fmt: skip
ACL = Acl({Grantee(kind, "ann"): level for kind, level in zip(GranteeKind, PermissionLevel, strict=True)})
FIRST = Config(1, (GUIDE,), (Route("guide-1", 100),), Task.CHAT, "ann", 1_000)


def endpoint(name="one", key="0" * 32, latest=FIRST):
    tags = (("team", "water"), ("stage", ""))
    return Endpoint(key, name, "ann", 1_000, 1_000, "text", True, tags, None, latest, acl=ACL)


def replica(key="r1", created=1_000):
    return Replica(
        key, GUIDE.spec, "main.default.guide", "1", ReplicaState.REQUESTED, "", 10**10, "", 0, 0.0,
        created, created, "cpu1",
    )  # fmt: skip


@pytest.fixture
async def with_endpoint(store):
    async with store.unit() as unit:
        await unit.endpoints.add(endpoint())
    return store


async def test_an_endpoint_comes_back_as_it_was_added(with_endpoint):
    async with with_endpoint.unit() as unit:
        assert await unit.endpoints.by_name("one") == endpoint()
        assert await unit.endpoints.by_id("0" * 32) == endpoint()
        assert await unit.endpoints.by_name("two") is None
        assert await unit.endpoints.by_id("two") is None


async def test_grants_are_replaced(with_endpoint):
    async with with_endpoint.unit() as unit:
        await unit.endpoints.set_acl("0" * 32, Acl())
        assert await unit.endpoints.by_name("one") == replace(endpoint(), acl=Acl())


async def test_external_models_come_back_with_references_to_their_secrets(store):
    model = ExternalModel(
        "gpt-4o",
        ProviderKind.OPENAI,
        Task.CHAT,
        {"openai_api_base": "https://a.example"},
        {"openai_api_key": SecretRef(":7", "planted")},
    )
    externals = (ExternalEntity("a", model, "ann"), ExternalEntity("b", model, "bob"))
    routes = (Route("a", 50), Route("b", 50))
    made = endpoint(latest=Config(1, (), routes, Task.CHAT, "ann", 1_000, externals=externals))
    async with store.unit() as unit:
        await unit.endpoints.add(made)
        await unit.endpoints.set_fallback(made.id, fallback=True)
        await unit.endpoints.set_description(made.id, "As it is told now.")
        assert await unit.endpoints.specs() == frozenset()
    async with store.unit() as unit:
        assert await unit.endpoints.by_name("one") == replace(made, fallback=True, description="As it is told now.")


async def test_an_endpoint_without_a_configuration(store):
    async with store.unit() as unit:
        await unit.endpoints.add(endpoint(latest=None))
        assert await unit.endpoints.by_name("one") == endpoint(latest=None)


async def test_a_taken_name_is_refused_and_the_unit_goes_on(with_endpoint):
    async with with_endpoint.unit() as unit:
        with pytest.raises(AlreadyExists, match="'one'"):
            await unit.endpoints.add(endpoint(key="1" * 32))
        await unit.endpoints.add(endpoint("another", "1" * 32))
    async with with_endpoint.unit() as unit:
        assert [one.name for one in await unit.endpoints.list()] == ["another", "one"]


async def test_a_deleted_endpoint_frees_its_name_and_keeps_its_id(with_endpoint):
    async with with_endpoint.unit() as unit:
        await unit.endpoints.mark_deleted("0" * 32, 2_000)
        await unit.endpoints.add(endpoint(key="1" * 32))
    async with with_endpoint.unit() as unit:
        assert (await unit.endpoints.by_name("one")).id == "1" * 32
        assert (await unit.endpoints.by_id("0" * 32)).deleted
        assert len(await unit.endpoints.list()) == 1
        assert len(await unit.endpoints.list(deleted=True)) == 2
        await unit.endpoints.remove("0" * 32)
        await unit.endpoints.remove("0" * 32)
        assert await unit.endpoints.by_id("0" * 32) is None
        assert await unit.endpoints.config("0" * 32, 1) is None


async def test_the_active_configuration_moves_when_a_pending_one_ends_well(with_endpoint):
    async with with_endpoint.unit() as unit:
        rows = unit.endpoints
        assert await rows.end("0" * 32, 1, Outcome.ACTIVE, "", 2_000)
        second = replace(FIRST, version=2, started_at=3_000)
        await rows.want("0" * 32, second, 3_000)
        both = await rows.by_name("one")
        assert (both.active.version, both.pending.version, both.updated_at) == (1, 2, 3_000)
        await rows.note("0" * 32, 2, "building")
        await rows.request_cancel("0" * 32, 2)
        assert await rows.config("0" * 32, 2) == replace(second, message="building", cancel_requested=True)
        assert await rows.end("0" * 32, 2, Outcome.FAILED, "no room", 4_000)
        failed = await rows.by_name("one")
        assert (failed.active.version, failed.latest.message, failed.pending) == (1, "no room", None)


async def test_a_configuration_ends_once_and_a_version_is_used_once(with_endpoint):
    async with with_endpoint.unit() as unit:
        assert await unit.endpoints.end("0" * 32, 1, Outcome.CANCELED, "asked", 2_000)
        assert not await unit.endpoints.end("0" * 32, 1, Outcome.ACTIVE, "", 3_000)
        with pytest.raises(AlreadyExists, match="version 1"):
            await unit.endpoints.want("0" * 32, FIRST, 3_000)
        found = await unit.endpoints.by_name("one")
        assert found.active is None
        assert found.latest.outcome is Outcome.CANCELED


async def test_tags_are_replaced(with_endpoint):
    async with with_endpoint.unit() as unit:
        await unit.endpoints.set_tags("0" * 32, [("b", "2"), ("a", "1")])
    async with with_endpoint.unit() as unit:
        assert (await unit.endpoints.by_name("one")).tags == (("b", "2"), ("a", "1"))


async def test_a_stopped_endpoint_keeps_what_it_served_until_another_serves(with_endpoint):
    key = "0" * 32
    async with with_endpoint.unit() as unit:
        await unit.endpoints.stop(key, 1_500)
        assert (await unit.endpoints.by_id(key)).stopped is None, "nothing serves yet"
        await unit.endpoints.end(key, 1, Outcome.ACTIVE, "", 2_000)
        await unit.endpoints.stop(key, 3_000)
        await unit.endpoints.want(key, replace(FIRST, version=2), 4_000)
    async with with_endpoint.unit() as unit:
        found = await unit.endpoints.by_id(key)
        assert (found.active, found.stopped.version, found.pending.version) == (None, 1, 2)
        await unit.endpoints.end(key, 2, Outcome.FAILED, "no room", 5_000)
        assert (await unit.endpoints.by_id(key)).suspended
        await unit.endpoints.want(key, replace(FIRST, version=3), 6_000)
        await unit.endpoints.end(key, 3, Outcome.ACTIVE, "", 7_000)
        found = await unit.endpoints.by_id(key)
        assert (found.active.version, found.stopped, found.updated_at) == (3, None, 7_000)


async def test_notifications_telemetry_and_policy(store):
    told = Notifications(("a@x.org",), ("b@x.org", "c@x.org"))
    telemetry = Telemetry(("TELEMETRY_FEATURE_LOGS",), "p", (("logs_table", "main.default.logs"),))
    made = replace(endpoint(), notifications=told, telemetry=telemetry, usage_policy="policy")
    async with store.unit() as unit:
        await unit.endpoints.add(made)
    async with store.unit() as unit:
        assert await unit.endpoints.by_name("one") == made
        await unit.endpoints.set_notifications(made.id, Notifications())
        await unit.endpoints.set_telemetry(made.id, None)
        found = await unit.endpoints.by_name("one")
        assert (found.notifications, found.telemetry) == (Notifications(), None)
        await unit.endpoints.set_notifications(made.id, told)
        await unit.endpoints.set_telemetry(made.id, telemetry)
    async with store.unit() as unit:
        assert await unit.endpoints.by_name("one") == made


async def test_replicas_come_back_oldest_first_and_only_step_forward(with_endpoint):
    async with with_endpoint.unit() as unit:
        await unit.replicas.add(replica("r2", 2_000))
        await unit.replicas.add(replica("r1", 1_000))
        with pytest.raises(AlreadyExists):
            await unit.replicas.add(replica("r1"))
        assert await unit.replicas.of([GUIDE.spec, "x"]) == [replica("r1", 1_000), replica("r2", 2_000)]
        assert await unit.replicas.of(["x"]) == await unit.replicas.of([]) == []
        running = replace(replica(), state=ReplicaState.READY, address="unix:/x", pid=7, pid_started=1700000000.25)
        await unit.replicas.save(running)
        assert (await unit.replicas.of([GUIDE.spec]))[0] == running
        with pytest.raises(PenstockError, match="cannot go"):
            await unit.replicas.save(replica())
        with pytest.raises(DoesNotExist):
            await unit.replicas.save(replica("r9"))


async def test_ended_replicas_are_history_until_swept(with_endpoint):
    async with with_endpoint.unit() as unit:
        await unit.replicas.add(replica("r1"))
        await unit.replicas.add(replica("r2"))
        failed = replace(replica("r1"), state=ReplicaState.FAILED, message="broke", changed_at=5_000, fatal=True)
        await unit.replicas.save(failed)
        assert (await unit.replicas.of([GUIDE.spec]))[0] == failed
        assert [one.id for one in await unit.replicas.live()] == ["r2"]
        assert await unit.replicas.sweep(5_000) == 0
        assert await unit.replicas.sweep(5_001) == 1
        assert [one.id for one in await unit.replicas.of([GUIDE.spec])] == ["r2"]
        await unit.replicas.add(replica("r3"))
        await unit.replicas.save(replace(replica("r3"), state=ReplicaState.STOPPED))
        await unit.replicas.forget("x")
        assert len(await unit.replicas.of([GUIDE.spec])) == 2
        await unit.replicas.forget(GUIDE.spec)
        assert [one.id for one in await unit.replicas.of([GUIDE.spec])] == ["r2"]


async def test_places_are_replaced_whole_and_go_with_their_endpoint(with_endpoint):
    first = [Claim("s", "cpu0", 0.25, 10**10), Claim("s", "cpu1", 0.0, 1)]
    async with with_endpoint.unit() as unit:
        await unit.endpoints.add(endpoint("another", "1" * 32))
        await unit.places.put("0" * 32, [*first[::-1], Claim("t", "cpu0", 0, 5, place=False)])
        await unit.places.put("1" * 32, first[:1])
        assert await unit.places.of("0" * 32) == first
        assert await unit.places.all() == {"0" * 32: first, "1" * 32: first[:1]}
    async with with_endpoint.unit() as unit:
        await unit.places.put("0" * 32, first[1:])
        await unit.places.put("1" * 32, ())
        await unit.places.put("2" * 32, ())
        assert await unit.places.all() == {"0" * 32: first[1:]}


async def test_what_served_entities_are_known_to_run_is_replaced(with_endpoint):
    known = replace(GUIDE, precision_is_usual=True)
    async with with_endpoint.unit() as unit:
        await unit.endpoints.set_entities("0" * 32, 1, [known])
    async with with_endpoint.unit() as unit:
        assert (await unit.endpoints.by_name("one")).latest == replace(FIRST, entities=(known,))
        assert await unit.endpoints.specs() == {known.spec} != {GUIDE.spec}


async def test_the_specs_of_all_configurations_are_known(with_endpoint):
    other = replace(GUIDE, entity_version="2")
    async with with_endpoint.unit() as unit:
        await unit.endpoints.want("0" * 32, replace(FIRST, version=2, entities=(other, GUIDE)), 3_000)
        await unit.endpoints.want("0" * 32, replace(FIRST, version=3), 4_000)
        assert await unit.endpoints.specs() == {GUIDE.spec, other.spec}
        await unit.endpoints.remove("0" * 32)
        assert await unit.endpoints.specs() == frozenset()


async def test_a_profile_replaces_one_of_the_same_fingerprint(store):
    print_ = Fingerprint("main.default.guide/1", "cpu 1", "int8", "test")
    cost = CostModel(1e-3, 2e-5, 3e-9, 4e-4, 5e-8, 0.04)
    curve = (Point(1, 900.5, 2.5, 0.5), Point(4, 2000.0, 4.6, 1.5))
    profile = Profile(print_, False, 2000.0, 4, curve, cost, 2048, 256, 1.5, 10**10, 1_700_000_000_000)
    async with store.unit() as unit:
        assert await unit.profiles.get(print_) is None
        await unit.profiles.put(profile)
        assert await unit.profiles.get(print_) == profile
        newer = replace(profile, throughput=2100.0, knee=1, held_out_mean=0.05, held_out_worst=0.11)
        await unit.profiles.put(newer)
    async with store.unit() as unit:
        assert await unit.profiles.get(print_) == newer
        assert await unit.profiles.get(replace(print_, precision="bf16")) is None


async def test_a_profile_is_marked_as_long_as_it_is_the_one_that_was_meant(store):
    print_ = Fingerprint("main.default.guide/1", "cpu 1", "int8", "xeon/16")
    older = Profile(print_, False, 2000.0, 4, (Point(1, 1000.0, 2.0, 0.1),), CostModel(0, 1, 0, 1, 0), 2, 1, 1.0, 1, 10)
    other = replace(older, fingerprint=replace(print_, engine="cpu 2"), measured_at=20)
    async with store.unit() as unit:
        await unit.profiles.put(older)
        await unit.profiles.put(other)
        assert list(await unit.profiles.of("main.default.guide/1")) == [other, older]
        assert await unit.profiles.of("main.default.guide/2") == []
        await unit.profiles.mark(print_, 11, "measured at another time")
        assert await unit.profiles.get(print_) == older
        await unit.profiles.mark(print_, 10, "it drifts")
    async with store.unit() as unit:
        assert await unit.profiles.get(print_) == replace(older, stale="it drifts")
        assert await unit.profiles.get(other.fingerprint) == other
        await unit.profiles.put(replace(older, measured_at=30))
        assert (await unit.profiles.get(print_)).stale == ""


async def test_limits_are_replaced_as_a_whole(store):
    limits = (RateLimit(calls=5, tokens=2**53 - 1), RateLimit(LimitKey.USER_GROUP, "blue", tokens=0))
    async with store.unit() as unit:
        await unit.endpoints.add(replace(endpoint("a"), limits=limits, limits_legacy=True))
        found = await unit.endpoints.by_name("a")
        assert (found.limits, found.limits_legacy) == (limits, True)
        await unit.endpoints.set_limits(found.id, limits[:1], legacy=False)
        found = await unit.endpoints.by_name("a")
        assert (found.limits, found.limits_legacy) == (limits[:1], False)
