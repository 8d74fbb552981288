"""The journal on files: kills at any byte, full disks, segments."""

import errno
import os
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.adapters import journal as module
from penstock.adapters.journal import FileJournal
from penstock.domain.errors import PenstockError, Temporary
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage

WRITE = os.write


def record(name, outcome=RequestOutcome.COMPLETED, reason=""):
    return RequestRecord(
        name, "e1", "guide", "guide-1", "r1", "ann", "llm/v1/chat", False, 1, outcome, 200, Usage(), 0, 0, 0, reason
    )


def failed(name):
    return record(name, RequestOutcome.FAILED, "the server stopped")


def opened(folder, **how):
    made = FileJournal(folder, **how)
    return made, list(made.recover())


def taken(journal):
    found = []
    while records := journal.take():
        found += records
        journal.stored(len(records))
    return found


def test_an_open_request_is_recovered_as_it_was_admitted(tmp_path):
    first, _ = opened(tmp_path)
    first.admitted(failed("a"))
    first.admitted(failed("b"))
    first.ended(record("a"))
    second, left = opened(tmp_path)
    assert left == [failed("b")]
    assert taken(second) == [record("a"), failed("b")]
    third, left = opened(tmp_path)
    assert left == []
    assert {one.request_id for one in taken(third)} <= {"b"}


def test_a_line_written_before_requests_had_a_price_is_still_read(tmp_path):
    (tmp_path / "000000000001.journal").write_bytes(
        b'E {"request_id":"a","endpoint_id":"e1","endpoint_name":"guide","served_entity":"guide-1","replica_id":"r1",'
        b'"principal":"ann","task":"llm/v1/chat","streaming":false,"received_at":1,"outcome":"completed","status":200,'
        b'"usage":{"prompt_tokens":0,"completion_tokens":0,"cached_tokens":0},"queue_ms":0,"ttft_ms":0,"duration_ms":0}\n'
    )
    journal, _ = opened(tmp_path)
    assert taken(journal) == [record("a")]


def test_a_clean_end_leaves_no_files(tmp_path):
    journal, _ = opened(tmp_path)
    journal.admitted(failed("a"))
    journal.ended(record("a"))
    assert taken(journal) == [record("a")]
    journal.close()
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_stored_stays_at_a_clean_end(tmp_path):
    journal, _ = opened(tmp_path)
    journal.ended(record("a"))
    journal.close()
    again, left = opened(tmp_path)
    assert (left, taken(again)) == ([], [record("a")])


def test_segments_are_deleted_when_they_are_stored_and_open_requests_move_on(tmp_path):
    journal, _ = opened(tmp_path, segment_bytes=2000)
    journal.admitted(failed("long"))
    for number in range(100):
        journal.admitted(failed(str(number)))
        journal.ended(record(str(number)))
    assert len(list(tmp_path.iterdir())) > 5
    assert len(taken(journal)) == 100
    assert len(list(tmp_path.iterdir())) <= 2
    again, left = opened(tmp_path)
    assert left == [failed("long")]
    assert failed("long") in taken(again)


def test_garbage_is_passed_over(tmp_path):
    journal, _ = opened(tmp_path)
    journal.ended(record("a"))
    path = next(tmp_path.iterdir())
    path.write_bytes(b"E {broken}\nX\n\n" + path.read_bytes() + b"\xff\n")
    again, left = opened(tmp_path)
    assert (left, taken(again)) == ([], [record("a")])


def test_a_disk_that_takes_nothing_loses_nothing(tmp_path, monkeypatch):
    journal, _ = opened(tmp_path)
    full, real = [True], os.write

    def write(file, data):
        if full[0]:
            raise OSError(28, "No space left on device")
        return real(file, bytes(data)[:7])

    monkeypatch.setattr(module.os, "write", write)
    journal.admitted(failed("a"))
    journal.ended(record("a"))
    assert list(journal.take()) == []
    full[0] = False
    journal.admitted(failed("b"))
    journal.ended(record("b"))
    assert taken(journal) == [record("a"), record("b")]


@pytest.fixture
def disk(monkeypatch):
    """A disk that can be made full."""
    made, write, opening = SimpleNamespace(full=False), os.write, os.open

    def check():
        if made.full:
            raise OSError(errno.ENOSPC, "No space left on device")

    def checked(what):
        def do(*given, **named):
            check()
            return what(*given, **named)

        return do

    monkeypatch.setattr(module.os, "write", checked(write))
    monkeypatch.setattr(module.os, "open", checked(opening))
    return made


def admit_on(journal, admitted):
    for number in range(1000):
        journal.admitted(failed(str(number)))
        admitted.append(str(number))


def test_nothing_is_admitted_when_too_much_waits_for_the_disk_and_all_that_was_is_kept(tmp_path, disk):
    journal, _ = opened(tmp_path, most_unwritten=3000)
    disk.full = True
    admitted = []
    with pytest.raises(Temporary, match="the disk takes nothing"):
        admit_on(journal, admitted)
    assert len(admitted) > 2
    for number in range(1000):
        journal.ended(record(f"refused{number}", RequestOutcome.REJECTED))
    assert len(journal._unwritten) < 4000
    for name in admitted:
        journal.ended(record(name))
    disk.full = False
    journal.admitted(failed("after"))
    assert taken(journal) == [record(name) for name in admitted]
    _, left = opened(tmp_path)
    assert left == [failed("after")]


def test_a_refusal_is_recorded_while_there_is_room_in_memory(tmp_path, disk):
    journal, _ = opened(tmp_path)
    disk.full = True
    journal.ended(record("no", RequestOutcome.REJECTED))
    disk.full = False
    assert taken(journal) == [record("no", RequestOutcome.REJECTED)]


def test_a_segment_that_cannot_be_begun_is_begun_later(tmp_path, disk, monkeypatch):
    journal, _ = opened(tmp_path, segment_bytes=1000)
    journal.admitted(failed("long"))
    disk.full = True
    monkeypatch.setattr(module.os, "write", WRITE)
    for number in range(20):
        journal.admitted(failed(str(number)))
        journal.ended(record(str(number)))
    assert len(list(tmp_path.iterdir())) == 1
    disk.full = False
    journal.ended(record("late", RequestOutcome.REJECTED))
    assert len(list(tmp_path.iterdir())) == 2
    assert taken(journal) == [*(record(str(number)) for number in range(20)), record("late", RequestOutcome.REJECTED)]
    again, left = opened(tmp_path)
    assert left == [failed("long")]
    assert taken(again) == [failed("long")]


def test_a_folder_that_cannot_be_written_at_start_is_told_in_a_sentence(tmp_path, disk):
    disk.full = True
    with pytest.raises(PenstockError, match=r"The request ledger .* cannot be written: No space left on device\."):
        opened(tmp_path)


def test_a_full_disk_is_told_once_and_so_is_its_end(tmp_path, disk, caplog):
    journal, _ = opened(tmp_path, most_unwritten=1)
    disk.full = True
    journal.admitted(failed("a"))
    for _ in range(9):
        journal.ended(record("no", RequestOutcome.REJECTED))
    journal.ended(record("a"))
    disk.full = False
    journal.take()
    assert [one.levelname for one in caplog.records] == ["ERROR", "WARNING"]
    assert "9 refusals are not in it" in caplog.text


actions = st.lists(st.tuples(st.sampled_from("aets"), st.integers(0, 9)), max_size=40)


@settings(max_examples=150, deadline=None)
@given(actions, st.integers(0, 400), st.integers(300, 3000))
def test_a_kill_at_any_byte_loses_and_doubles_nothing(tmp_path_factory, actions, cut, segment_bytes):
    """Of the newest segment any number of bytes at the end may be missing; a request is then open, ended or unknown."""
    folder = tmp_path_factory.mktemp("journal")
    journal, _ = opened(folder, segment_bytes=segment_bytes)
    written, stored = [], set()
    for what, number in actions:
        name = f"{number}-{len(written)}"
        if what == "a":
            journal.admitted(failed(name))
            written.append(("a", name))
        elif what == "e":
            waiting = [name for kind, name in written if kind == "a" and ("e", name) not in written]
            if waiting:
                journal.ended(record(waiting[number % len(waiting)]))
                written.append(("e", waiting[number % len(waiting)]))
        elif what == "t":
            found = journal.take()[: number + 1]
            journal.stored(len(found))
            stored |= {one.request_id for one in found}
    os.close(journal._file)
    newest = max(folder.iterdir())
    whole = newest.read_bytes()
    keep = max(len(whole) - cut, 0)
    newest.write_bytes(whole[:keep])
    lost = whole[keep:].count(b"\n")

    again, left = opened(folder)
    recovered = [*taken(again)]
    names = [one.request_id for one in recovered]
    assert len(set(names)) == len(names)
    assert {one.request_id for one in left} <= set(names)
    known = {name for _, name in written}
    assert set(names) <= known
    assert len(known - set(names) - stored) <= lost
    if not cut:
        ended = {name for kind, name in written if kind == "e"}
        outcome = {one.request_id: one.outcome for one in recovered}
        for name in known - stored:
            assert outcome[name] is (RequestOutcome.COMPLETED if name in ended else RequestOutcome.FAILED)


def test_what_an_earlier_process_left_counts_as_not_stored(tmp_path):
    first, _ = opened(tmp_path)
    first.admitted(failed("a"))
    first.ended(record("b"))
    second, _ = opened(tmp_path)
    assert second.behind == 2, "what was open has ended with it"
    assert len(taken(second)) == 2
    assert second.behind == 0


def test_what_the_disk_does_not_take_is_told(tmp_path, monkeypatch):
    journal, _ = opened(tmp_path)

    def full(_file, _content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    journal.ended(record("a"))
    assert journal.unwritten_bytes > 100
    monkeypatch.undo()
    assert taken(journal) == [record("a")]
    assert (journal.unwritten_bytes, journal.behind) == (0, 0)
