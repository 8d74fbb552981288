"""The cluster's contract, on the fake and on processes of this machine."""

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace

import psutil
import pytest

from penstock.adapters.clusters.local import LOG_LIMIT, LocalCluster, device_class, divided
from penstock.domain.errors import EngineFailed, InvalidParameter
from penstock.ports.cluster import Process
from penstock.ports.engine import Launch
from penstock.testing.clock import FakeClock
from penstock.testing.cluster import FakeCluster

ENDS = "print('working', flush=True); raise SystemExit({status})"
SERVES = "import sys; print('ready', flush=True); sys.stdin.read()"
STUBBORN = (
    "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); sys.stdin.read()"
)


class FakeKit:
    def __init__(self):
        self.clock = FakeClock()
        self.cluster = FakeCluster(self.clock)
        self.cluster.build_s = 0

    def ends(self, status, log):
        self.cluster.build_status = status
        return Launch(("build", "m", "working"), (), log)

    def serves(self, log):
        return Launch(("serve", "m", "ready"), (), log, stdin_watch=True)

    def stubborn(self, log):
        self.cluster.drain_s = 1000
        return self.serves(log)

    def impossible(self, log):
        self.cluster.refuses = "no such program"
        return self.serves(log)

    async def pass_time(self, task):
        await self.clock.advance(1)
        await task


class LocalKit:
    def __init__(self, folder):
        self.cluster = LocalCluster(folder / "run", memory_fraction=0.5)

    def ends(self, status, log):
        return Launch((sys.executable, "-c", ENDS.format(status=status)), (("SEEN", "yes"),), log)

    def serves(self, log):
        return Launch((sys.executable, "-c", SERVES), (), log, stdin_watch=True)

    def stubborn(self, log):
        return Launch((sys.executable, "-c", STUBBORN), (), log, stdin_watch=True)

    def impossible(self, log):
        return Launch(("/no/such/program",), (), log)

    async def pass_time(self, task):
        await task


@pytest.fixture(params=["fake", "local"])
async def kit(request, tmp_path):
    if request.param == "fake":
        yield FakeKit()
        return
    made = LocalKit(tmp_path)
    yield made
    await made.cluster.close()


async def until(check, limit_s=20):
    async with asyncio.timeout(limit_s):
        while not await check():  # noqa: ASYNC110 - another process tells no event
            await asyncio.sleep(0.02)


async def ended(cluster, process):
    await until(lambda: _is_ended(cluster, process))
    return await cluster.exit_code(process)


async def _is_ended(cluster, process):
    return await cluster.exit_code(process) is not None


async def said(cluster, log, word):
    async def check():
        return word in await cluster.tail(log, 1000)

    await until(check)


async def test_a_device_has_memory(kit):
    [device] = await kit.cluster.devices()
    assert device.memory > 0
    assert device.device_class


@pytest.mark.parametrize("status", [0, 3])
async def test_a_process_that_ends_says_how(kit, tmp_path, status):
    log = tmp_path / "a" / "build.log"
    process = await kit.cluster.start(kit.ends(status, log))
    assert await ended(kit.cluster, process) == status
    assert "working" in await kit.cluster.tail(log, 1000)
    assert await kit.cluster.tail(tmp_path / "none.log", 1000) == ""
    assert len(await kit.cluster.tail(log, 4)) <= 4
    await kit.cluster.stop(process, 1)


async def test_a_process_that_serves_runs_until_it_is_stopped(kit, tmp_path):
    log = tmp_path / "server.log"
    process = await kit.cluster.start(kit.serves(log))
    await said(kit.cluster, log, "ready")
    assert await kit.cluster.exit_code(process) is None
    assert await kit.cluster.memory(process) > 0
    await kit.cluster.stop(process, 5)
    assert await kit.cluster.exit_code(process) is not None
    assert await kit.cluster.memory(process) == 0
    await kit.cluster.stop(process, 5)


async def test_one_that_does_not_listen_is_killed_after_its_grace(kit, tmp_path):
    log = tmp_path / "server.log"
    process = await kit.cluster.start(kit.stubborn(log))
    await said(kit.cluster, log, "ready")
    await kit.pass_time(asyncio.create_task(kit.cluster.stop(process, 0.3)))
    assert await kit.cluster.exit_code(process) in {-9, -1}


async def test_what_cannot_be_started_raises(kit, tmp_path):
    with pytest.raises(EngineFailed, match=r"no such program|/no/such/program"):
        await kit.cluster.start(kit.impossible(tmp_path / "x.log"))


async def test_a_process_runs_on_a_device_by_name(kit, tmp_path):
    [device] = await kit.cluster.devices()
    process = await kit.cluster.start(replace(kit.serves(tmp_path / "a.log"), device=device.name))
    assert await kit.cluster.exit_code(process) is None
    await kit.cluster.stop(process, 5)
    with pytest.raises(EngineFailed, match="There is no device 'gpu9'"):
        await kit.cluster.start(replace(kit.serves(tmp_path / "b.log"), device="gpu9"))


async def test_an_unknown_process_is_gone(kit):
    nobody = Process(2**22 + 1, 1.0)
    assert await kit.cluster.exit_code(nobody) == -1
    assert await kit.cluster.memory(nobody) == 0
    await kit.cluster.stop(nobody, 1)


async def test_logs_can_be_forgotten(kit, tmp_path):
    log = tmp_path / "e" / "build.log"
    await ended(kit.cluster, await kit.cluster.start(kit.ends(0, log)))
    await kit.cluster.forget_logs(tmp_path / "e")
    await kit.cluster.forget_logs(tmp_path / "e")
    assert await kit.cluster.tail(log, 1000) == ""


def test_addresses_are_distinct_and_short_enough(tmp_path):
    for folder in (tmp_path / "run", tmp_path / ("deep" * 30)):
        cluster = LocalCluster(folder, memory_fraction=0.5)
        first, second = cluster.address("a" * 32), cluster.address("b" * 32)
        assert first != second
        assert first.startswith("unix:/")
        assert len(first.removeprefix("unix:").encode()) < 108
        asyncio.run(cluster.close())


async def test_another_process_with_the_same_id_is_left_alone(tmp_path):
    kit = LocalKit(tmp_path)
    log = tmp_path / "server.log"
    process = await kit.cluster.start(kit.serves(log))
    impostor = replace(process, started=process.started - 100)
    other = LocalCluster(tmp_path / "run2", memory_fraction=0.5)
    assert await other.exit_code(process) is None
    assert await other.exit_code(impostor) == -1
    await other.stop(impostor, 0)
    assert await kit.cluster.exit_code(process) is None
    await other.stop(process, 5)
    assert not psutil.pid_exists(process.pid) or await kit.cluster.exit_code(process) is not None
    await kit.cluster.close()


async def test_engines_end_when_their_server_is_killed(tmp_path):
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from penstock.adapters.clusters.local import LocalCluster\n"
        "from penstock.ports.engine import Launch\n"
        "async def main():\n"
        "    cluster = LocalCluster(Path(sys.argv[1]), memory_fraction=0.5)\n"
        f"    command = (sys.executable, '-c', {SERVES!r})\n"
        "    process = await cluster.start(Launch(command, (), Path(sys.argv[1]) / 'log', stdin_watch=True))\n"
        "    print(process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    engine = int(await server.stdout.readline())
    assert psutil.pid_exists(engine)
    server.send_signal(signal.SIGKILL)
    await server.wait()

    async def gone():
        return not psutil.pid_exists(engine) or psutil.Process(engine).status() == psutil.STATUS_ZOMBIE

    await until(gone)


async def test_engines_get_of_the_servers_variables_only_what_programs_need(tmp_path, monkeypatch):
    for name in ("PENSTOCK_ADMIN_TOKEN", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "NVIDIA_API_KEY", "PGPASSWORD", "ANY"):
        monkeypatch.setenv(name, f"planted-{name}")
    for name in ("OMP_NUM_THREADS", "LC_NUMERIC", "TMPDIR"):
        monkeypatch.setenv(name, "kept")
    kit = LocalKit(tmp_path)
    command = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")

    async def told(log, *inherits):
        process = await kit.cluster.start(Launch(command, (("SEEN", "yes"),), log, inherits=inherits))
        await ended(kit.cluster, process)
        return json.loads(await kit.cluster.tail(log, 100_000))

    seen = await told(tmp_path / "engine.log")
    assert [seen[name] for name in ("OMP_NUM_THREADS", "LC_NUMERIC", "TMPDIR", "SEEN")] == [*["kept"] * 3, "yes"]
    assert seen["PATH"] == os.environ["PATH"]
    assert "planted" not in json.dumps(seen)
    other = await told(tmp_path / "other.log", "PG")
    assert [value for value in other.values() if "planted" in value] == ["planted-PGPASSWORD"]


async def test_a_log_keeps_its_end_when_it_grows_too_large(tmp_path):
    kit = LocalKit(tmp_path)
    log = tmp_path / "server.log"
    process = await kit.cluster.start(kit.serves(log))
    await said(kit.cluster, log, "ready")
    with log.open("a") as file:
        file.write("line\n" * (LOG_LIMIT // 5 + 100) + "the end\n")
    await kit.cluster.exit_code(process)
    assert log.stat().st_size <= LOG_LIMIT // 2 + 10
    assert (await kit.cluster.tail(log, 100)).endswith("the end\n")
    await kit.cluster.close()


def test_cores_are_divided_evenly_and_what_is_left_over_belongs_to_no_device():
    assert divided([0, 1, 2], 1) == {"cpu": {0, 1, 2}}
    assert divided([0, 1, 2, 5, 7], 2) == {"cpu0": {0, 1}, "cpu1": {2, 5}}
    with pytest.raises(InvalidParameter, match=r"serving\.devices must be at most .* \(2\), but is 3"):
        divided([0, 1], 3)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core is one device")
async def test_a_device_is_a_part_of_the_cores_and_of_the_memory(tmp_path):
    whole = LocalCluster(tmp_path / "whole", memory_fraction=0.5)
    parts = LocalCluster(tmp_path / "parts", memory_fraction=0.5, devices=2)
    [all_there_is] = await whole.devices()
    devices = await parts.devices()
    assert [device.name for device in devices] == ["cpu0", "cpu1"]
    assert devices[0].memory == devices[1].memory == all_there_is.memory // 2
    assert devices[0].device_class.endswith(f"/{len(os.sched_getaffinity(0)) // 2}")
    kit = LocalKit(tmp_path)
    processes = [await parts.start(replace(kit.serves(tmp_path / one.name), device=one.name)) for one in devices]
    cores = [os.sched_getaffinity(process.pid) for process in processes]
    assert not cores[0] & cores[1]
    assert {len(one) for one in cores} == {len(os.sched_getaffinity(0)) // 2}
    await parts.close()


def test_the_device_class_names_the_cpu_and_its_cores():
    assert device_class() == device_class()
    assert device_class().startswith("cpu/")
    assert device_class().endswith(f"/{len(os.sched_getaffinity(0))}")
