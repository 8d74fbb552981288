"""`penstock scaling decisions`."""

import pytest
from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.cli.scaling_decisions import table


def test_changes_are_told_oldest_first():
    changes = [
        {"timestamp": at, "served_entity_name": "a", "old": 850, "new": 1700, "reason": f"At {at}."} for at in (2000, 0)
    ]
    assert table(changes).splitlines() == [
        "1970-01-01 00:00:00  a  850 > 1,700 tokens/s  At 0.",
        "1970-01-01 00:00:02  a  850 > 1,700 tokens/s  At 2000.",
    ]
    assert table([]) == "Nothing was changed yet."


def test_a_server_that_is_not_there_is_told():
    done = CliRunner().invoke(app, ["scaling", "decisions", "x", "--url", "http://127.0.0.1:9", "--token", "t"])
    assert done.exit_code == 1


@pytest.mark.parametrize(
    "words", [["scaling", "decisions", "x"], ["batch", "x", "/nowhere.jsonl", "--out", "/nowhere"]]
)
def test_the_platforms_own_variables_say_where_the_server_is(words):
    told = {"DATABRICKS_HOST": "127.0.0.1:9", "DATABRICKS_TOKEN": "t"}
    assert CliRunner().invoke(app, words, env=told).exit_code == 1
    assert CliRunner().invoke(app, words, env=dict.fromkeys(told)).exit_code == 2, "nobody says where it is"
