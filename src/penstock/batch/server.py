"""The server as the batch program sees it: where rows go, and what it says of an endpoint's throughput."""

import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from penstock.batch.work import Reply
from penstock.domain.errors import InvalidParameter, PenstockError, Temporary
from penstock.domain.profile import CostModel
from penstock.domain.tenancy import Terms
from penstock.domain.told_terms import told_terms

TIMEOUT_S = 900.0
_OK = 200
_NO_SERVER = "The server cannot be reached"


@dataclass(frozen=True, slots=True)
class Offer:
    """What an endpoint's requests cost, None where the server does not say it; `estimated`: it was not measured yet.

    `used` is the part of the device's time, 0 to 1, that was used in the last seconds, by whomever.
    """

    terms: Terms | None = None
    estimated: bool = False
    used: float = 0.0

    @property
    def cost(self) -> CostModel | None:
        """Device seconds by tokens."""
        return self.terms.cost if self.terms is not None else None


class HttpServer:
    """One endpoint of a server by URL. A context."""

    def __init__(self, url: str, token: str, endpoint: str, *, window: int) -> None:
        self._root = url.rstrip("/")
        self._name = quote(endpoint, safe="")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._window = window
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=self._window + 1)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout, connector=connector)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._opened.close()

    @property
    def _opened(self) -> aiohttp.ClientSession:
        assert self._session is not None
        return self._session

    async def ask(self, body: bytes) -> Reply:
        """See `penstock.batch.work.Server`."""
        headers = {"content-type": "application/json", "x-penstock-priority": "batch"}
        url = f"{self._root}/serving-endpoints/{self._name}/invocations"
        try:
            async with self._opened.post(url, data=body, headers=headers) as answer:
                return Reply(
                    answer.status, await answer.read(), answer.headers.get("x-request-id", ""), _seconds(answer.headers)
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Temporary(f"{_NO_SERVER}: {error or type(error).__name__}.") from error

    async def offer(self) -> Offer:
        """What the endpoint's throughput is; raises PenstockError if there is no such endpoint, Temporary."""
        path = f"/api/2.0/serving-endpoints/{self._name}"
        found = await self._get(f"{path}/throughput")
        if found is None:
            found = await self._get(path)
            if found is None:
                raise PenstockError("The server knows no such endpoint, or the token is not good for it.")
            return await self._version(found)
        entity: Mapping[str, Any] = next(iter(found.get("served_entities") or ()), {})
        terms = _terms(entity.get("throughput"), entity.get("cost"), entity.get("terms"))
        return Offer(terms, bool(entity.get("estimated")), min(_number(entity, "device_used"), 1.0))

    async def _version(self, endpoint: Mapping[str, Any]) -> Offer:
        """What is said of the version that an endpoint serves."""
        entities = endpoint.get("config", {}).get("served_entities", [])
        if not entities:
            return Offer()
        entity = entities[0]
        name, version = quote(str(entity.get("entity_name")), safe="."), quote(str(entity.get("entity_version")))
        info = await self._get(f"/api/2.0/serving-endpoints/get-model-optimization-info/{name}/{version}") or {}
        profile = info.get("profile") or {}
        return Offer(_terms(info.get("throughput"), profile.get("cost"), info.get("terms")))

    async def _get(self, path: str) -> dict[str, Any] | None:
        """The answer to a question of the control plane; None if it refuses."""
        try:
            async with self._opened.get(self._root + path) as answer:
                found = await answer.json(content_type=None)
                return found if answer.status == _OK and isinstance(found, dict) else None
        except ValueError:
            return None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Temporary(f"{_NO_SERVER}: {error or type(error).__name__}.") from error


def _number(found: Mapping[str, Any], field: str) -> float:
    value = found.get(field)
    return float(value) if isinstance(value, int | float) else 0.0


def _terms(throughput: Any, cost: Any, found: Any) -> Terms | None:
    with suppress(InvalidParameter):
        return told_terms(throughput, cost, found)
    return None


def _seconds(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "")
    return float(value) if value.isdigit() else None


chance = random.random
