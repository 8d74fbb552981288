"""A hub of the tests' own, and nothing of this machine's: no token, no cache."""

import pytest
from hub_server import HubServer

from penstock.adapters.hub.huggingface import HuggingFaceHub


@pytest.fixture
def server():
    made = HubServer()
    yield made
    made.close()


@pytest.fixture
def hub(server, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    return HuggingFaceHub(server.address, cache=tmp_path / "cache")
