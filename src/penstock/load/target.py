"""Where requests go, and what they look like on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from penstock.domain.errors import InvalidParameter
from penstock.load.prompts import Prompts
from penstock.load.workload import Ask, Workload


class Route(StrEnum):
    """What is asked for."""

    COMPLETIONS = "completions"
    CHAT = "chat/completions"
    EMBEDDINGS = "embeddings"


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint of a server. `path` is where the server's routes begin; that of most others is `/v1`.

    With `exact`, requests carry `ignore_eos`, so that answers have exactly the wanted length; a server that refuses
    unknown fields wants it off. `timeout_s` bounds one request. `socket` is a Unix socket to connect to
    instead of the URL's host.
    """

    url: str
    endpoint: str
    token: str = ""
    route: Route = Route.COMPLETIONS
    path: str = "/serving-endpoints"
    exact: bool = True
    timeout_s: float = 597.0
    socket: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every request."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def asks(self, ask: Ask) -> Route:
        """The route for a request: a body of one's own goes where its fields belong."""
        if ask.body is None:
            return self.route
        if "input" in ask.body:
            return Route.EMBEDDINGS
        return Route.CHAT if "messages" in ask.body else Route.COMPLETIONS

    def address(self, ask: Ask) -> str:
        """The URL for a request."""
        return f"{self.url.rstrip('/')}/{self.path.strip('/')}/{self.asks(ask)}"

    def check(self, workload: Workload) -> None:
        """Raises InvalidParameter if text is to be generated and a request wants no token of it."""
        if any(self.asks(ask) is not Route.EMBEDDINGS and not ask.tokens_out for ask in workload.asks):
            raise InvalidParameter("tokens out must be positive: only embeddings have none")

    def body(self, ask: Ask, prompts: Prompts) -> bytes:
        """The JSON to send. Embeddings come whole, all else in a stream."""
        if self.asks(ask) is Route.EMBEDDINGS:
            given = ask.body if ask.body is not None else {"input": prompts.make(ask.tokens_in)}
            return msgspec.json.encode({**given, "model": self.endpoint})
        if ask.body is not None:
            return msgspec.json.encode({"max_tokens": ask.tokens_out, **ask.body, **self._always})
        said: dict[str, Any] = {"max_tokens": ask.max_tokens or ask.tokens_out, "temperature": 0, **self._always}
        if self.exact:
            said["ignore_eos"] = True
        prompt = prompts.make(ask.tokens_in)
        if self.route is Route.CHAT:
            said["messages"] = [{"role": "user", "content": prompt}]
        else:
            said["prompt"] = prompt
        return msgspec.json.encode(said)

    @property
    def _always(self) -> Mapping[str, Any]:
        always: dict[str, Any] = {"model": self.endpoint, "stream": True}
        if self.exact:
            always["stream_options"] = {"include_usage": True}  # others than Penstock send usage only when asked
        return always
