"""What the tests of providers share."""

import pytest
from provider_server import ProviderServer


@pytest.fixture
async def server():
    made = ProviderServer()
    await made.start()
    yield made
    await made.close()
