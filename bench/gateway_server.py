"""`penstock serve` with one endpoint more: its replica is a static HTTP server that answers a constant. Bench only."""

import os
import sys
from collections.abc import Sequence
from unittest.mock import patch

from penstock import bootstrap
from penstock.cli.main import main
from penstock.domain.access import USERS, PermissionLevel
from penstock.domain.acl import Acl, Grantee, GranteeKind
from penstock.domain.model import Task
from penstock.domain.routing import EndpointRoute, EntityRoute, ReadyReplica
from penstock.domain.traffic import Route

ENDPOINT = "constant"
ANYBODY = Acl({Grantee(GranteeKind.GROUP, USERS): PermissionLevel.CAN_QUERY})
MAX_RUNNING, MAX_QUEUE = 16, 64
_real = bootstrap._gateway  # noqa: SLF001 - the bench adds to what the server builds, and changes nothing of it


async def _with_constant(settings, store, served, *parts):  # noqa: ANN001, ANN002, ANN202
    """What the server builds; then what the reconciler would publish for a ready replica."""
    built = await _real(settings, store, served, *parts)
    replica = ReadyReplica("constant-replica", os.environ["BENCH_ENGINE"], MAX_RUNNING, MAX_QUEUE)
    entity = EntityRoute("constant-1", (replica,), scales_to_zero=False)
    routes = (Route(entity.name, 100),)
    served.table.publish(EndpointRoute("constant-id", ENDPOINT, "bench", Task.CHAT, routes, (entity,), acl=ANYBODY))
    return built


def serve(arguments: Sequence[str]) -> None:
    """Runs the command line."""
    sys.argv = ["penstock", *arguments]
    with patch.object(bootstrap, "_gateway", _with_constant):
        main()


if __name__ == "__main__":
    serve(sys.argv[1:])
