"""How requests are divided among the served entities of a configuration."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.domain.errors import InvalidParameter

WHOLE = 100


@dataclass(frozen=True, slots=True)
class Route:
    """The percentage (0 to 100) of requests that go to one served entity."""

    served_entity: str
    percentage: int


def complete(routes: Sequence[Route], entities: Sequence[str]) -> tuple[Route, ...]:
    """The routes to use: those given, or all traffic to the only entity.

    Raises:
        InvalidParameter: a route names no entity or one twice, percentages are not 0 to 100 or do not sum to 100,
            or several entities have no routes.
    """
    if not routes:
        if len(entities) == 1:
            return (Route(entities[0], WHOLE),)
        raise InvalidParameter(
            "traffic_config.routes is required when there is more than one served entity: "
            f"{len(entities)} are given ({', '.join(entities)})."
        )
    names = [route.served_entity for route in routes]
    for route in routes:
        if route.served_entity not in entities:
            raise InvalidParameter(
                f"traffic_config.routes names '{route.served_entity}', which is not a served entity; "
                f"these are: {', '.join(entities)}."
            )
        if not 0 <= route.percentage <= WHOLE:
            raise InvalidParameter(
                f"traffic_percentage of '{route.served_entity}' must be 0 to 100, but is {route.percentage}."
            )
    if len(set(names)) < len(names):
        raise InvalidParameter("traffic_config.routes names a served entity twice.")
    total = sum(route.percentage for route in routes)
    if total != WHOLE:
        raise InvalidParameter(f"traffic_percentage of all routes must sum to 100, but sums to {total}.")
    return tuple(routes)


def choose(routes: Sequence[Route], point: float) -> str:
    """The served entity for a request, from a uniform `point` in [0, 1)."""
    left = point * WHOLE
    for route in routes:
        left -= route.percentage
        if left < 0:
            return route.served_entity
    return routes[-1].served_entity
