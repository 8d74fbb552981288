"""Where clients reach this server, for the addresses that answers hold."""

from typing import Annotated

from fastapi import Depends, Request


def origin_of(request: Request) -> str:
    """The setting `public_url`, or else what the request named, without a slash at its end."""
    public_url: str = request.app.state.public_url
    return public_url or f"{request.scope['scheme']}://{request.headers.get('host', '')}"


def query_of(request: Request) -> str:
    """The query as it was sent."""
    query: bytes = request.scope["query_string"]
    return query.decode("latin-1")


OriginDep = Annotated[str, Depends(origin_of)]
