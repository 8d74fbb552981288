"""docs/models.md says what docs/models.json holds, and that comes from tests."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("models_table", ROOT / "scripts" / "models_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def line(**changes):
    return {"family": "MPT", "engine": "CPU int8", "column": "chat", "value": "yes", **changes}


def test_the_page_is_what_the_facts_make_of_it(script):
    facts = json.loads(script.FACTS.read_text())
    text = script.PAGE.read_text()
    assert script.page(text, facts) == text
    assert script.merged({}, lines_of(facts)) == facts


def lines_of(facts):
    return [
        line(family=family, engine=engine, column=column, value=value)
        for family, engines in facts.items()
        for engine, columns in engines.items()
        for column, value in columns.items()
    ]


def test_a_later_line_counts_and_other_cells_stay(script):
    facts = script.merged({}, [line(), line(value="no"), line(column="JSON", value="500 of 500")])
    again = script.merged(facts, [line(engine="vLLM", value="refused")])
    assert again == {
        "MPT": {"CPU int8": {"chat": "no", "JSON": "500 of 500"}, "vLLM": {"chat": "refused"}},
    }
    assert script.table(again).splitlines()[2:] == [
        "| MPT | CPU int8 |  | no |  | 500 of 500 |  |  |  |",
        "|  | vLLM |  | refused |  |  |  |  |  |",
    ]


@pytest.mark.parametrize("changes", [{"family": "GPT"}, {"engine": "TPU"}, {"column": "smell"}])
def test_an_unknown_name_is_a_mistake(script, changes):
    with pytest.raises(SystemExit, match="is none of"):
        script.merged({}, [line(**changes)])


def test_what_is_around_the_table_stays(script):
    text = f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n"
    made = script.page(text, {})
    assert made.startswith("before\n")
    assert made.endswith(f"{script.END}\nafter\n")
    assert "old" not in made
