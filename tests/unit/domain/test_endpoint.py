"""Endpoints: names, bands, and the status computed from facts."""

import pytest

from penstock.domain.endpoint import Config, ConfigUpdate, Endpoint, Outcome, Ready, check_endpoint_name, check_entities
from penstock.domain.errors import InvalidParameter
from penstock.domain.model import Task
from penstock.domain.served_entity import ServedEntity, check_band, default_name


def config(version, outcome):
    return Config(version, (), (), Task.CHAT, "ann@example.com", 0, outcome)


def endpoint(active, latest):
    return Endpoint("0" * 32, "e", "ann@example.com", 0, 0, "", False, (), active, latest)


FIRST = config(1, Outcome.ACTIVE)


@pytest.mark.parametrize(
    ("active", "latest", "ready", "update"),
    [
        (None, None, Ready.NOT_READY, ConfigUpdate.NOT_UPDATING),
        (None, config(1, Outcome.PENDING), Ready.NOT_READY, ConfigUpdate.IN_PROGRESS),
        (FIRST, FIRST, Ready.READY, ConfigUpdate.NOT_UPDATING),
        (FIRST, config(2, Outcome.PENDING), Ready.READY, ConfigUpdate.IN_PROGRESS),
        (FIRST, config(2, Outcome.FAILED), Ready.READY, ConfigUpdate.UPDATE_FAILED),
        (None, config(1, Outcome.CANCELED), Ready.NOT_READY, ConfigUpdate.UPDATE_CANCELED),
    ],
)
def test_status_follows_from_the_configurations(active, latest, ready, update):
    made = endpoint(active, latest)
    assert (made.ready, made.config_update) == (ready, update)
    assert (made.pending is None) == (update is not ConfigUpdate.IN_PROGRESS)


@pytest.mark.parametrize("name", ["", "no spaces!", "a.b", "x" * 64, "databricks-mine", "chat", "pt"])
def test_names_that_are_refused(name):
    with pytest.raises(InvalidParameter, match="name"):
        check_endpoint_name(name)


def test_names_that_are_taken():
    assert check_endpoint_name("Team_1-chat") == "Team_1-chat"


@pytest.mark.parametrize(("low", "high", "field"), [(-1, 5, "min_"), (0, 0, "max_"), (200, 100, "must not be more")])
def test_bands_that_are_refused(low, high, field):
    with pytest.raises(InvalidParameter, match=field):
        check_band(low, high, "e")


def test_entities_need_names_of_their_own():
    one = ServedEntity("m-1", "a.b.m", "1", 0, 100)
    with pytest.raises(InvalidParameter, match="two entities named 'm-1'"):
        check_entities([one.name, one.name])
    with pytest.raises(InvalidParameter, match="1 to 15"):
        check_entities([])


def test_default_names_fit():
    assert default_name("main.ml.llama", "3") == "llama-3"
    assert len(default_name("a.b." + "m" * 80, "12")) == 63
