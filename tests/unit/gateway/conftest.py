import pytest
import world as worlds
from world import World

from penstock.gateway.gate import Gate


@pytest.fixture
def world():
    return World()


@pytest.fixture(autouse=True)
async def closed(monkeypatch):
    """Gates of worlds are closed, as a server's is: ended with a test, waiting requests would set their timers anew."""
    made = []

    def noted(clock):
        made.append(Gate(clock))
        return made[-1]

    monkeypatch.setattr(worlds, "Gate", noted)
    yield
    for gate in made:
        gate.close()
