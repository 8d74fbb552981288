"""A pytest plugin: tests beside this repository that cannot pass with the client they use, with the reason.

Only the named exception is excused, so a failure of the server still fails, and a mended test simply passes.
"""

import pytest

WRONG = {
    "test_sdk_creates_waits_updates_deletes": (
        TypeError,
        "databricks-sdk 0.150 to 0.162 require EndpointCoreConfigInput(name=...), which the second create leaves out; "
        "tests/acceptance/test_endpoints.py makes the same calls with the name",
    )
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests above."""
    for item in items:
        if item.name in WRONG:
            error, reason = WRONG[item.name]
            item.add_marker(pytest.mark.xfail(raises=error, reason=reason, strict=False))
