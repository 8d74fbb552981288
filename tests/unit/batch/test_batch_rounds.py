"""Batches on the server: validated, worked on, stopped anywhere and taken up again, cancelled, expired."""

import asyncio
import json

import pytest

from penstock.adapters.batches.folder import BatchFolder
from penstock.control import batch_rounds
from penstock.control.batch_rounds import BatchRound
from penstock.control.batch_worker import BatchWorker
from penstock.control.batches import Batches, BatchLimits
from penstock.domain.access import USERS, Caller, Principal, PrincipalKind, Scope
from penstock.domain.batch import WINDOW_MS, BatchState
from penstock.domain.errors import PathNotFound, Temporary
from penstock.ports.inference import Told
from penstock.testing.store import FakeStore

ANN = Principal("1", "ann@x.org", "Ann", PrincipalKind.USER, frozenset({USERS}))
CALLER = Caller(ANN, Scope.ALL_APIS, "t")
CHAT = "/v1/chat/completions"


class Hasty:
    """A clock whose waits are short, and whose date tests set."""

    def __init__(self):
        self.ms = 1_700_000_000_000
        self.slept = []

    def now_ms(self):
        return self.ms

    def monotonic(self):
        return 0.0

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(0.002)


class Played:
    """Answers with the row's own words; `script` holds statuses that come first."""

    def __init__(self):
        self.asked = []
        self.script = {}
        self.most = self.running = 0
        self.stop_after = None
        self.hold_after = None
        self.meeting = asyncio.Barrier(1)

    async def ask(self, caller, endpoint, task, body):
        assert (caller.principal, endpoint, task.value) == (ANN, "guide", "llm/v1/chat")
        word = json.loads(body)["messages"][0]["content"]
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise Temporary("The server is stopping.")
        self.asked.append(word)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.hold_after is not None and len(self.asked) > self.hold_after:
                await asyncio.Event().wait()
            if len(self.asked) <= self.meeting.parties:
                await asyncio.wait_for(self.meeting.wait(), 10)
            await asyncio.sleep(0)
        finally:
            self.running -= 1
        status = self.script[word].pop(0) if self.script.get(word) else 200
        return Told(status, json.dumps({"word": word}).encode(), f"id-{word}", 3.0 if status == 429 else None)


class World:
    def __init__(self, folder):
        self.store, self.clock, self.inference = FakeStore(), Hasty(), Played()
        self.files = BatchFolder(folder)
        self.limits = BatchLimits(file_bytes=100_000, rows=50, window=3, running=2)
        names = iter(range(1000))
        self.batches = Batches(
            self.store, self.files, self.clock, limits=self.limits, new_id=lambda: f"n{next(names)}", hint=lambda: None
        )
        self.start()

    def start(self):
        """A new process over the same store and folder."""
        self.round = BatchRound(
            self.store, self.files, self.inference, self.clock, self.limits, chance=lambda: 0.0
        )  # fmt: skip
        self.worker = BatchWorker(self.round)

    async def batch(self, lines, url=CHAT, **how):
        async def content():
            yield b"".join(json.dumps(line).encode() + b"\n" for line in lines)

        file_id, size = await self.batches.receive(CALLER, content())
        await self.batches.named(CALLER, file_id, size, filename="rows", purpose="batch")
        return await self.batches.create(CALLER, file_id, url, "24h", {}, **how)

    async def now(self, batch):
        return await self.batches.get(CALLER, batch.id)

    async def lines(self, file_id):
        content = b"".join([chunk async for chunk in await self.batches.content(CALLER, file_id)])
        return [json.loads(line) for line in content.splitlines()]


def row(word, **changes):
    body = {"model": "guide", "messages": [{"role": "user", "content": word}]}
    return {"custom_id": word, "method": "POST", "url": CHAT, "body": body, **changes}


WORDS = [f"w{number}" for number in range(20)]
ROWS = [row(word) for word in WORDS]


@pytest.fixture
async def world(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_rounds, "NOTE_S", 0.002)
    made = World(tmp_path)
    async with made.store.unit() as unit:
        await unit.access.add_principal(ANN, 0)
    yield made
    await made.worker.close()


async def test_answers_and_errors_are_divided_in_the_order_of_the_rows(world):
    world.inference.script = {"w3": [400], "w5": [429, 429, 503], "w7": [404]}
    world.inference.meeting = asyncio.Barrier(3)  # the window's rows are under way together, however slow the disk
    batch = await world.batch([*ROWS, row("nameless", body={"messages": []})])
    assert "20 rows" not in await world.round.run(batch.id)
    ended = await world.now(batch)
    assert (ended.state, ended.counts.total, ended.counts.completed, ended.counts.failed) == (
        BatchState.COMPLETED, 21, 18, 3,
    )  # fmt: skip
    answers, errors = await world.lines(ended.output_file), await world.lines(ended.error_file)
    assert [one["custom_id"] for one in answers] == [word for word in WORDS if word not in {"w3", "w7"}]
    assert answers[0]["response"] == {"status_code": 200, "request_id": "id-w0", "body": {"word": "w0"}}
    assert (answers[0]["error"], set(answers[0])) == (None, {"id", "custom_id", "response", "error"})
    assert [one["custom_id"] for one in errors] == ["w3", "w7", "nameless"]
    assert (errors[0]["response"]["status_code"], errors[2]["error"]["code"]) == (400, "BAD_REQUEST")
    assert world.inference.most == 3
    assert world.inference.asked.count("w5") == 4
    assert world.clock.slept.count(3.0) == 2
    assert {BatchState.IN_PROGRESS, BatchState.FINALIZING, BatchState.COMPLETED} == set(ended.times)
    assert list((world.files._journals).iterdir()) == []


async def test_no_character_of_an_answer_ends_its_line(world):
    odd = "a\u0085b\u2028c\u2029d\ud83de"
    batch = await world.batch([row(odd, custom_id=f"x\u2028{number}") for number in range(2)])
    await world.round.run(batch.id)
    ended = await world.now(batch)
    content = b"".join([chunk async for chunk in await world.batches.content(CALLER, ended.output_file)]).decode()
    lines = [json.loads(line) for line in content.splitlines()]
    assert [line["custom_id"] for line in lines] == ["x\u20280", "x\u20281"]
    assert [line["response"]["body"]["word"] for line in lines] == [odd, odd]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (row("w0", url="/v1/embeddings"), "mismatched_url"),
        (row("w0"), "duplicate_custom_id"),
        ({"body": {}}, "invalid_line"),
        ("no", "invalid_line"),
    ],
)
async def test_a_file_with_wrong_lines_fails_the_batch_and_nothing_is_asked(world, line, code):
    batch = await world.batch([*ROWS[:3], line])
    await world.round.run(batch.id)
    failed = await world.now(batch)
    assert (failed.state, failed.problems[0].code, failed.problems[0].line) == (BatchState.FAILED, code, 4)
    assert world.inference.asked == []


async def test_too_many_rows_and_a_file_that_is_gone_fail_it_too(world):
    large = await world.batch([row(f"x{number}") for number in range(51)])
    await world.round.run(large.id)
    assert (await world.now(large)).problems[0].code == "too_many_rows"
    gone = await world.batch(ROWS)
    await world.files.remove(gone.input_file)
    await world.round.run(gone.id)
    assert (await world.now(gone)).problems[0].code == "invalid_file"


@pytest.mark.parametrize("stop_after", [0, 1, 7, 19])
async def test_after_a_stop_no_row_is_lost_or_there_twice(world, stop_after):
    batch = await world.batch(ROWS)
    world.inference.stop_after = stop_after
    with pytest.raises(Temporary):
        await world.round.run(batch.id)
    journal = world.files._journals / batch.id
    whole = journal.read_bytes() if journal.exists() else b""
    journal.write_bytes(whole + b'{"row":1,"cut of')
    world.inference.stop_after = None
    world.start()
    await world.worker.recover()
    await world.round.run(batch.id)
    ended = await world.now(batch)
    assert (ended.state, ended.counts.completed) == (BatchState.COMPLETED, 20)
    assert [one["custom_id"] for one in await world.lines(ended.output_file)] == WORDS
    assert ended.error_file == ""


async def test_a_batch_that_is_cancelled_keeps_what_it_has(world):
    world.inference.hold_after = 5
    batch = await world.batch(ROWS)
    running = asyncio.ensure_future(world.round.run(batch.id))
    while world.inference.running < 3 or len(world.inference.asked) < 8:  # noqa: ASYNC110 - a played engine
        await asyncio.sleep(0.001)
    await world.batches.cancel(CALLER, batch.id)
    await running
    ended = await world.now(batch)
    assert (ended.state, ended.counts.completed, world.inference.running) == (BatchState.CANCELLED, 5, 0)
    assert len(await world.lines(ended.output_file)) == 5
    errors = await world.lines(ended.error_file)
    assert {one["error"]["code"] for one in errors} == {"batch_cancelled"}
    assert len(errors) == 15


async def test_a_batch_whose_time_is_over_expires(world):
    world.inference.hold_after = 5
    batch = await world.batch(ROWS)
    running = asyncio.ensure_future(world.round.run(batch.id))
    while len(world.inference.asked) < 8:  # noqa: ASYNC110 - a played engine
        await asyncio.sleep(0.001)
    world.clock.ms += WINDOW_MS
    await running
    ended = await world.now(batch)
    assert (ended.state, ended.counts.completed, ended.counts.failed) == (BatchState.EXPIRED, 5, 0)
    assert {one["error"]["code"] for one in await world.lines(ended.error_file)} == {"batch_expired"}


async def test_the_worker_runs_a_few_at_a_time_oldest_first(world):
    made = [await world.batch(ROWS[:2]) for _ in range(5)]
    told = []
    for _ in range(1000):
        told.append(await world.worker.step())
        assert len(world.worker._running) <= 2
        await asyncio.sleep(0.001)
        if sum(sentence.count("has ended") for sentence in told) == 5:
            break
    assert {(await world.now(batch)).state for batch in made} == {BatchState.COMPLETED}


async def test_files_of_answers_expire_as_asked_or_as_is_usual(world):
    for how, kept_ms in (({}, world.limits.file_expiry_s * 1000), ({"output_expiry_s": 7200}, 7_200_000)):
        batch = await world.batch(ROWS[:2], **how)
        await world.round.run(batch.id)
        file = await world.batches.file(CALLER, (await world.now(batch)).output_file)
        assert file.expires_at == file.created_at + kept_ms
    world.clock.ms += 7_200_000
    assert await world.batches.expire() == "removed 1 expired files"
    assert not (world.files._files / file.id).exists()
    assert (await world.now(batch)).output_file == file.id


async def test_recovery_removes_what_belongs_to_nobody(world):
    async def content():
        yield b"x"

    await world.batches.receive(CALLER, content())
    batch = await world.batch(ROWS)
    (world.files._incoming / "half").write_bytes(b"x")
    await world.worker.recover()
    assert [path.name for path in world.files._files.iterdir()] == [batch.input_file]
    assert list(world.files._incoming.iterdir()) == []
    with pytest.raises(PathNotFound):
        _ = [chunk async for chunk in world.files.read("nothing")]
