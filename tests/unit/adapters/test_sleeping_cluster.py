"""Engines that sleep instead of ending, and are woken instead of started."""

from dataclasses import replace
from pathlib import Path

import pytest

from penstock.adapters.clusters.sleeping import SleepingCluster
from penstock.ports.engine import Launch
from penstock.testing.clock import FakeClock
from penstock.testing.cluster import FakeCluster

LOG = Path("log")


class PlayedSleeper:
    """Does what it is told, and remembers it."""

    def __init__(self):
        self.works = True
        self.said = []

    async def sleep(self, address, limit_s):
        self.said.append(("sleep", address, limit_s))
        return self.works

    async def wake(self, address):
        self.said.append(("wake", address))
        return self.works


@pytest.fixture
def inner():
    return FakeCluster(FakeClock())


@pytest.fixture
def sleeper():
    return PlayedSleeper()


@pytest.fixture
def cluster(inner, sleeper):
    return SleepingCluster(inner, sleeper, most=1)


def launch(folder, name, model="m"):
    """An engine whose socket is there, as if it had made it."""
    socket = folder / f"{name}.sock"
    socket.touch()
    return Launch(
        ("serve", model, "--uds", str(socket)), (("A", "1"),), LOG, device="cpu", sleeps=f"vllm+unix:{socket}"
    )


async def test_one_that_is_stopped_sleeps_and_the_same_is_woken_at_another_address(tmp_path, cluster, inner, sleeper):
    first, again = launch(tmp_path, "r1"), launch(tmp_path, "r2")
    process = await cluster.start(first)
    await cluster.stop(process, 20)
    assert await cluster.exit_code(process) == 0
    assert await inner.exit_code(process) is None
    await cluster.stop(process, 0)
    assert await cluster.start(again) == process
    assert await cluster.exit_code(process) is None
    assert not (tmp_path / "r1.sock").exists()
    assert (tmp_path / "r2.sock").exists()
    await cluster.stop(process, 10)
    assert sleeper.said == [("sleep", first.sleeps, 20), ("wake", first.sleeps), ("sleep", again.sleeps, 10)]


async def test_another_model_device_or_environment_is_started_anew(tmp_path, cluster, inner):
    one = launch(tmp_path, "r1")
    process = await cluster.start(one)
    await cluster.stop(process, 20)
    for other in (replace(launch(tmp_path, "r2"), environment=()), launch(tmp_path, "r3", model="n")):
        assert await cluster.start(other) != process
    assert len(inner.running()) == 3
    assert await cluster.exit_code(process) == 0


async def test_the_one_that_slept_longest_ends_where_there_are_too_many(tmp_path, cluster, inner):
    one, two = [await cluster.start(launch(tmp_path, name, model=name)) for name in ("r1", "r2")]
    await cluster.stop(one, 20)
    await cluster.stop(two, 20)
    assert await inner.exit_code(one) is not None
    assert await inner.exit_code(two) is None


async def test_what_cannot_sleep_or_has_no_time_for_it_ends(tmp_path, cluster, inner, sleeper):
    killed = await cluster.start(launch(tmp_path, "r1"))
    await cluster.stop(killed, 0)
    plain = await cluster.start(replace(launch(tmp_path, "r2"), sleeps=""))
    await cluster.stop(plain, 20)
    assert not sleeper.said
    sleeper.works = False
    stubborn = await cluster.start(launch(tmp_path, "r3"))
    await cluster.stop(stubborn, 20)
    assert [await inner.exit_code(one) is not None for one in (killed, plain, stubborn)] == [True] * 3


async def test_one_that_does_not_wake_or_has_lost_its_socket_is_replaced(tmp_path, cluster, inner, sleeper):
    first = await cluster.start(launch(tmp_path, "r1"))
    await cluster.stop(first, 20)
    (tmp_path / "r1.sock").unlink()
    second = await cluster.start(launch(tmp_path, "r2"))
    assert second != first
    await cluster.stop(second, 20)
    sleeper.works = False
    third = await cluster.start(launch(tmp_path, "r3"))
    assert third != second
    assert [await inner.exit_code(one) is None for one in (first, second, third)] == [False, False, True]


async def test_one_that_ends_while_another_is_woken_is_passed_over(tmp_path, inner, sleeper):
    cluster = SleepingCluster(inner, sleeper, most=2)
    one, two, other = [
        await cluster.start(launch(tmp_path, name, model=model))
        for name, model in (("r1", "m"), ("r2", "m"), ("r3", "n"))
    ]
    await cluster.stop(one, 20)
    await cluster.stop(two, 20)

    async def wake(address):
        await cluster.stop(other, 20)  # it and the other two are one too many
        await cluster.stop(await cluster.start(launch(tmp_path, "r4", model="o")), 20)
        return False

    sleeper.wake = wake
    assert await cluster.start(launch(tmp_path, "r5")) not in {one, two, other}
    assert await inner.exit_code(two) is not None
