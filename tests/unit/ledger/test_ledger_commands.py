"""`penstock ledger` and `penstock bill` on a real file."""

import csv
import re
import sqlite3

import pytest
from typer.testing import CliRunner

from penstock.cli.main import app

PERIOD = ("--from", "2023-11-14T23:00", "--to", "2023-11-15T00:00+00:00")


@pytest.fixture
def penstock(file, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(app, [*map(str, words), "--data-dir", str(file.parent)])


def test_a_ledger_that_is_right_says_so_and_ends_with_0(penstock):
    done = penstock("ledger", "verify")
    assert done.exit_code == 0, done.output
    assert "63 minutes, 1 hours, 132 requests checked; 5 requests are in minutes that are not closed" in done.output
    head = done.output.split("head ")[1].strip()
    assert penstock("ledger", "verify", "--head", head).exit_code == 0


def test_what_was_changed_is_named_and_ends_with_1(penstock, file):
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM requests WHERE request_id = 'a7'")
    connection.close()
    done = penstock("ledger", "verify")
    assert done.exit_code == 1
    assert "row 8 (2023-11-14T23:07Z of guide/guide-1): its requests are not those" in done.output


def test_a_bit_is_found_wherever_it_was_flipped_in_table_or_index(penstock, file):
    content = file.read_bytes()
    places = [found.start() for found in re.finditer(b"long", content)]
    assert len(places) >= 3
    for at in places:
        damaged = bytearray(content)
        damaged[at] ^= 1
        file.write_bytes(damaged)
        done = penstock("ledger", "verify")
        assert done.exit_code == 1, done.output
        assert "the database's file: " in done.output or "request " in done.output


def test_a_file_that_cannot_be_read_is_said_in_a_sentence(penstock, file):
    content = bytearray(file.read_bytes())
    for start in range(4096, len(content), 4096):
        content[start : start + 8] = bytes(8)
    file.write_bytes(content)
    done = penstock("ledger", "verify")
    assert done.exit_code == 2
    assert "damaged" in done.output or "not one of Penstock" in done.output


@pytest.mark.parametrize(
    "words",
    [
        ("ledger", "verify", "--head", "5"),
        ("ledger", "verify", "--database", "sqlite:////nowhere/none.db"),
        ("ledger", "report", "none", *PERIOD),
        ("ledger", "report", "guide", "--from", "noon", "--to", "2023-11-15"),
        ("ledger", "report", "guide", "--from", "2023-11-15", "--to", "2023-11-15"),
        ("ledger", "report", "guide", *PERIOD, "--by", "day"),
        ("bill", *PERIOD, "--prices", "/nowhere/prices.toml"),
        ("ledger", "report", "", *PERIOD),
        ("ledger", "report", "guide", "--from", "2999-01-01", "--to", "2999-01-02"),
        ("ledger", "report", "guide", "--from", "0001-01-01", "--to", "2023-11-15"),
        ("ledger", "report", "guide", *PERIOD, "--csv", "/nowhere/report.csv"),
        ("ledger", "report", "guide", *PERIOD, "--png", "/nowhere/report.png"),
        ("ledger", "requests", "none", *PERIOD),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence_and_ends_with_2(penstock, words):
    done = penstock(*words)
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    assert done.output.strip()


def test_who_asks_for_what_is_not_there_is_told_what_is(penstock):
    assert "does not know the endpoint 'gide'. It knows: guide." in penstock("ledger", "report", "gide", *PERIOD).output
    none = penstock("ledger", "report", "guide", "--from", "2022-01-01", "--to", "2022-01-02").output
    assert "The ledger reaches from 2023-11-14 23:00 to 2023-11-15 00:02." in none
    swapped = penstock("ledger", "report", "guide", "--from", "2023-11-15", "--to", "2023-11-14").output
    assert swapped.strip() == "--from (2023-11-15) must be before --to (2023-11-14)."


def test_a_narrow_terminal_gets_fewer_columns_instead_of_broken_ones(penstock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    done = penstock("ledger", "report", "guide", *PERIOD)
    assert "2023-11-14 23:10" in done.output
    assert "\u2026" not in done.output
    assert "--csv" in done.output


def test_a_report_is_printed_and_written(penstock, tmp_path):
    table, picture = tmp_path / "report.csv", tmp_path / "report.png"
    done = penstock("ledger", "report", "guide", *PERIOD, "--csv", table, "--png", picture)
    assert done.exit_code == 0, done.output
    assert "refused 1 times: too much" in done.output
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 60
    assert (rows[10]["utc"], rows[10]["promised"], rows[10]["requests"]) == ("2023-11-14 23:10", "600.0", "2")
    assert float(rows[10]["attained"]) == pytest.approx((100 + 1 / 3) / 60, abs=0.001)
    assert (rows[3]["rejected"], rows[3]["ttft_p50_ms"]) == ("1", "1000.0")
    assert picture.read_bytes().startswith(b"\x89PNG")
    by_hour = penstock("ledger", "report", "e1", *PERIOD, "--by", "hour", "--csv", table)
    assert by_hour.exit_code == 0
    (hour,) = csv.DictReader(table.read_text().splitlines())
    assert float(hour["promised"]) == 580  # known from its third minute on


def test_requests_are_listed_with_what_was_decided(penstock, tmp_path):
    table = tmp_path / "requests.csv"
    done = penstock("ledger", "requests", "guide", *PERIOD, "--limit", 3, "--csv", table)
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert f"3 of {len(rows)} requests" in done.output
    assert all(row["decision"] or row["reason"] or row["outcome"] == "completed" for row in rows)
    decided = [row for row in rows if row["decision"] == "lent: at once"]
    assert len(decided) == 1
    assert decided[0]["measured_s"] == "0.25"
    assert "lent: at once" in penstock("ledger", "requests", "e1", *PERIOD, "--limit", 200).output
    assert penstock("ledger", "requests", "guide", "--from", "2023-11-15", "--to", "2023-11-14").exit_code == 2


def test_the_requests_of_a_trace_are_found(penstock, tmp_path):
    table, trace = tmp_path / "requests.csv", "4bf92f3577b34da6a3ce929d0e0e4736"
    done = penstock("ledger", "requests", "guide", *PERIOD, "--trace", trace.upper(), "--csv", table)
    assert "1 of 1 requests" in done.output
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert (row["request_id"], row["trace_id"]) == ("long", trace)
    assert "0 of 0 requests" in penstock("ledger", "requests", "guide", *PERIOD, "--trace", "0" * 32).output
    wrong = penstock("ledger", "requests", "guide", *PERIOD, "--trace", "trace:4bf9")
    assert (wrong.exit_code, "--trace must be a trace's id" in wrong.output) == (2, True)


def test_a_bill_is_printed_and_written(penstock, tmp_path):
    prices, table, hours = tmp_path / "prices.toml", tmp_path / "bill.csv", tmp_path / "hours.csv"
    prices.write_text('currency = "EUR"\n[endpoints.guide]\nchunk_hour = 1.25\n')
    done = penstock("bill", *PERIOD, "--prices", prices, "--csv", table, "--hours", hours)
    assert done.exit_code == 0, done.output
    assert "2.50 EUR" in done.output
    (line,) = csv.DictReader(table.read_text().splitlines())
    assert (line["chunk_hours"], line["amount"], line["currency"]) == ("2", "2.50", "EUR")
    (hour,) = csv.DictReader(hours.read_text().splitlines())
    assert (hour["utc"], hour["chunk_hours"], hour["amount"]) == ("2023-11-14 23:00", "2", "2.500000")
