"""Log lines: one shape for all, and no secrets."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from penstock.adapters.logs import start_logging


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(log_format: str) -> tuple[io.StringIO, structlog.stdlib.BoundLogger]:
    stream = io.StringIO()
    start_logging(log_format, "info", stream)
    return stream, structlog.stdlib.get_logger(f"test-{log_format}")


def test_json_has_the_request_id_and_the_level():
    stream, log = lines("json")
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        log.info("request", status=200)
        logging.getLogger("other").warning("from %s", "elsewhere")
    logging.getLogger("uvicorn.error").info("chatter")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["status"], first["request_id"], first["level"]) == ("request", 200, "r1", "info")
    assert (second["event"], second["request_id"], second["logger"]) == ("from elsewhere", "r1", "other")


@pytest.mark.parametrize("log_format", ["human", "json"])
def test_secrets_do_not_reach_the_log(log_format):
    stream, log = lines(log_format)
    value = "dapi0123456789abcdef"
    log.info("told", token_value=value, Authorization="Bearer x", path=f"/x/{value}", header="Basic dG9rZW46eA==")
    log.info("postgresql://u:hunter2@h/d cannot be reached")
    log.error("failed", exc_info=ValueError(f"bad token {value}"))
    told = stream.getvalue()
    for secret in (value, "Bearer x", "dG9rZW46eA", "hunter2"):
        assert secret not in told
    assert "[redacted]" in told
    assert "ValueError" in told
