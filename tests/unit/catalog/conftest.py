"""The catalogue's use cases."""

import pytest
from library import Library


@pytest.fixture
def world() -> Library:
    return Library()
