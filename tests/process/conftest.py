"""What several tests of whole servers have in common."""

import pytest
from played_provider import PlayedProvider


@pytest.fixture
async def provider():
    """A provider of external models, played by the test."""
    made = PlayedProvider()
    await made.start()
    yield made
    await made.close()
