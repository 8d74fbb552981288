"""Which server a command asks, and with whose token."""

import pytest

from penstock.cli.asked_server import DEFAULT_URL, server_token, server_url


@pytest.mark.parametrize(
    ("given", "variables", "url", "token"),
    [
        ("", {}, DEFAULT_URL, ""),
        ("", {"DATABRICKS_HOST": "a.example", "DATABRICKS_TOKEN": "theirs"}, "https://a.example", "theirs"),
        ("http://b:1", {"PENSTOCK_URL": "http://c"}, "http://b:1", "http://b:1"),
        (
            "",
            {"PENSTOCK_URL": "http://c", "PENSTOCK_TOKEN": "ours", "DATABRICKS_HOST": "d", "DATABRICKS_TOKEN": "them"},
            "http://c",
            "ours",
        ),
    ],
)
def test_what_is_told_goes_before_our_variables_and_those_before_the_platforms(
    given, variables, url, token, monkeypatch
):
    for name in ("PENSTOCK_URL", "PENSTOCK_TOKEN", "DATABRICKS_HOST", "DATABRICKS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (server_url(given), server_token(given)) == (url, token)
