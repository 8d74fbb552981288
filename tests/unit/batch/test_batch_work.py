"""Rows on their way, in virtual time, to a server that the tests play."""

import asyncio
import itertools
import json
import resource

import pytest

from penstock.adapters.batches.answers import AnswerFile
from penstock.adapters.batches.rows import RowFile
from penstock.batch.work import Reply, Work
from penstock.domain.batch_estimate import Size
from penstock.domain.batch_patience import Next, after
from penstock.domain.errors import Conflict, InvalidParameter, PenstockError, Temporary
from penstock.testing.clock import FakeClock


class Played:
    """Answers after a second with the row's own words; `script` holds what comes before, by those words."""

    def __init__(self, clock):
        self.clock = clock
        self.script = {}
        self.sent = []
        self.running = self.most = 0

    async def ask(self, body):
        word = json.loads(body)["prompt"]
        self.sent.append((self.clock.monotonic(), word))
        self.running += 1
        self.most = max(self.most, self.running)
        await self.clock.sleep(1)
        self.running -= 1
        step = self.script[word].pop(0) if self.script.get(word) else 200
        if step is None:
            raise Temporary("The server cannot be reached.")
        status, retry = step if isinstance(step, tuple) else (step, None)
        used = {"prompt_tokens": 3, "completion_tokens": 2}
        return Reply(status, json.dumps({"word": word, "usage": used, "message": "m"}).encode(), "id", retry)


class Batch:
    """A file of ten rows."""

    def __init__(self, folder, count=10):
        self.path, self.out = folder / "rows.jsonl", folder / "out.jsonl"
        self.path.write_text("".join(json.dumps({"prompt": f"w{number}"}) + "\n" for number in range(1, count + 1)))
        self.clock = FakeClock()
        self.server = Played(self.clock)

    async def run(self, window=3, seconds=500):
        rows = RowFile(self.path)
        with AnswerFile(self.out) as answers:
            places = rows.look()
            left = [place for place in places if not answers.has(place.number, place.digest)]
            work = Work(rows, answers, self.server, self.clock, chance=lambda: 0.0, patience_s=60)
            task = asyncio.ensure_future(work.send(left, window))
            await self.clock.advance(seconds)
            if not task.done():
                task.cancel()
            else:
                await task
                answers.order([place.number for place in places])
            await asyncio.gather(task, return_exceptions=True)
        return work

    @property
    def answers(self):
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    @property
    def words(self):
        return [answer["response"]["body"]["word"] for answer in self.answers]


@pytest.fixture
def batch(tmp_path):
    return Batch(tmp_path)


WORDS = [f"w{number}" for number in range(1, 11)]


async def test_every_row_is_answered_in_order_and_no_more_are_on_their_way_than_the_window(batch):
    work = await batch.run(window=3)
    assert batch.words == WORDS
    assert batch.server.most == 3
    assert (work.done, work.errors, work.tokens_in, work.tokens_out) == (10, 0, 30, 20)
    assert work.learned.tokens_out(Size(1, None)) == 2


async def test_a_row_that_is_told_to_wait_waits_that_long_and_is_never_lost(batch):
    batch.server.script = {"w1": [(429, 7.0)] * 20, "w2": [(503, None), 429]}
    await batch.run(window=3)
    assert batch.words == WORDS
    first = [at for at, word in batch.server.sent if word == "w1"]
    assert [later - earlier for earlier, later in itertools.pairwise(first)] == [8.0] * 20
    second = [at for at, word in batch.server.sent if word == "w2"]
    assert second == [0.0, 2.0, 5.0]


async def test_a_server_that_fails_on_a_row_is_asked_four_times_and_then_the_row_has_the_error(batch):
    batch.server.script = {"w4": [500] * 9, "w5": [400], "w6": [502]}
    work = await batch.run()
    assert [answer["response"]["status_code"] for answer in batch.answers] == [200] * 3 + [500, 400] + [200] * 5
    assert work.errors == 2
    assert [word for _, word in batch.server.sent].count("w4") == 4
    assert [word for _, word in batch.server.sent].count("w5") == 1


async def test_what_is_wrong_for_all_stops_the_batch_and_keeps_what_is_done(batch):
    batch.server.script = {"w7": [404]}
    with pytest.raises(PenstockError, match="404: m"):
        await batch.run(window=1)
    assert batch.words == WORDS[:6]


async def test_a_server_that_is_away_is_waited_for_and_given_up_in_the_end(batch):
    batch.server.script = {"w1": [None] * 4}
    await batch.run()
    assert batch.words == WORDS
    batch.out.unlink()
    batch.server.script = {word: [None] * 99 for word in WORDS}
    with pytest.raises(PenstockError, match="has not answered for"):
        await batch.run()
    assert batch.words == []


async def test_it_goes_on_where_it_stopped_wherever_it_was_killed(batch):
    await batch.run(window=2, seconds=2.5)
    journal = batch.out.read_bytes()
    assert 0 < len(batch.answers) < 10
    for cut in range(0, len(journal), 37):
        batch.out.write_bytes(journal[:cut])
        batch.server.sent.clear()
        kept = journal[:cut].count(b"\n")
        await batch.run()
        assert batch.words == WORDS
        assert len(batch.server.sent) == 10 - kept
    batch.server.sent.clear()
    await batch.run()
    assert (batch.server.sent, batch.words) == ([], WORDS)


async def test_a_row_that_was_changed_is_asked_again(batch):
    await batch.run()
    batch.path.write_text(batch.path.read_text().replace("w3", "new"))
    batch.server.sent.clear()
    await batch.run()
    assert [word for _, word in batch.server.sent] == ["new"]
    assert batch.words == [*WORDS[:2], "new", *WORDS[3:]]


async def test_lines_that_are_no_rows_get_their_error_and_are_not_sent(batch):
    batch.path.write_text('{"prompt": "w1"}\n\n{"prompt\n{"nothing": 1}\n')
    work = await batch.run()
    first, broken, nothing = batch.answers
    assert (first["row"], broken["row"], nothing["row"]) == (1, 3, 4)
    assert broken["response"] is None
    assert broken["error"]["message"].startswith("Line 3: is not JSON")
    assert "messages, prompt, input" in nothing["error"]["message"]
    assert (work.errors, len(batch.server.sent)) == (2, 1)


async def test_a_file_of_something_else_is_not_written_over_nor_one_that_another_program_writes(batch, tmp_path):
    batch.out.write_text("my thesis\n")
    with pytest.raises(InvalidParameter, match="not written over"):
        await batch.run()
    assert batch.out.read_text() == "my thesis\n"
    other = tmp_path / "other.jsonl"
    with AnswerFile(other), pytest.raises(Conflict, match="Another program"), AnswerFile(other):
        pass
    with pytest.raises(InvalidParameter, match="cannot be read"):
        RowFile(tmp_path / "nothing").look()
    batch.path.write_text("\n")
    with pytest.raises(InvalidParameter, match="no rows"):
        RowFile(batch.path).look()


def test_patience_spreads_those_who_wait_and_bounds_the_wait():
    assert after(429, 10.0, 1, 0.5).delay_s == 11.25
    assert after(429, 9999.0, 1, 0.0).delay_s == 60
    assert [after(503, None, tries, 0.0).delay_s for tries in (1, 2, 3, 9)] == [1, 2, 4, 60]
    assert after(500, None, 4, 0.0).what is Next.ERROR
    assert {after(status, None, 1, 0.0).what for status in (401, 403, 404)} == {Next.STOP}


def test_half_a_line_that_a_full_disk_took_does_not_spoil_the_next(tmp_path):
    out = tmp_path / "out.jsonl"
    answer = {"response": {"status_code": 200, "body": "x" * 100}, "error": None}
    with AnswerFile(out) as answers:
        answers.add(1, "a", answer)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (out.stat().st_size + 50, before[1]))
        try:
            with pytest.raises(PenstockError, match="cannot be written: File too large"):
                answers.add(2, "b", answer)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        answers.add(3, "c", {**answer, "more": 1})
        assert not answers.has(2, "b")
        assert answers.read(3)["more"] == 1
    with AnswerFile(out) as answers:
        assert [answers.has(number, name) for number, name in ((1, "a"), (2, "b"), (3, "c"))] == [True, False, True]
