"""The request journal: one suite on memory and on files."""

import pytest

from penstock.adapters.journal import FileJournal
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage
from penstock.testing.journal import FakeJournal


def record(name, outcome=RequestOutcome.COMPLETED):
    return RequestRecord(
        name, "e1", "guide", "guide-1", "r1", "ann", "llm/v1/chat", True, 1_700_000_000_000, outcome, 200,
        Usage(5, 7, 3), 0.5, 1.5, 9.25, 'a "reason"\nin two lines', "mine",
        0.5, 1152.25, 2304.5, "shared", "lent", True,
    )  # fmt: skip


@pytest.fixture(params=["fake", "file"])
def journal(request, tmp_path):
    made = FakeJournal() if request.param == "fake" else FileJournal(tmp_path, segment_bytes=600)
    assert not made.recover()
    yield made
    if isinstance(made, FileJournal):
        made.close()


def test_what_ended_is_taken_until_it_is_stored(journal):
    journal.admitted(record("a", RequestOutcome.FAILED))
    assert list(journal.take()) == []
    journal.ended(record("a"))
    journal.ended(record("b"))
    assert list(journal.take()) == [record("a"), record("b")]
    assert list(journal.take()) == [record("a"), record("b")]
    journal.stored(1)
    assert list(journal.take()) == [record("b")]
    journal.stored(1)
    assert list(journal.take()) == []


def test_order_is_kept_over_many_records_in_batches(journal):
    names = [str(number) for number in range(50)]
    for name in names:
        journal.admitted(record(name))
        journal.ended(record(name))
    seen = []
    while taken := journal.take():
        batch = taken[:7]
        seen += [one.request_id for one in batch]
        journal.stored(len(batch))
    assert seen == names


def test_nothing_stored_changes_nothing(journal):
    journal.ended(record("a"))
    journal.take()
    journal.stored(0)
    assert list(journal.take()) == [record("a")]


def test_what_is_not_stored_yet_is_counted(journal):
    journal.admitted(record("a"))
    assert journal.behind == 0
    for name in "abc":
        journal.ended(record(name))
    assert journal.behind == 3
    journal.take()
    journal.stored(2)
    assert (journal.behind, journal.unwritten_bytes) == (1, 0)
    journal.take()
    journal.stored(1)
    assert journal.behind == 0
