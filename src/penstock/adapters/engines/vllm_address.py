"""Addresses of vLLM's engines: a place, with a mark that says who listens there."""

_MARK = "vllm+"


def at(place: str) -> str:
    """The address of an engine of vLLM's at "unix:PATH" or "http://127.0.0.1:PORT"."""
    return _MARK + place


def is_vllm(address: str) -> bool:
    """Whether vLLM listens there."""
    return address.startswith(_MARK)


def place_of(address: str) -> str:
    """Where an engine listens, whoever's it is."""
    return address.removeprefix(_MARK)
