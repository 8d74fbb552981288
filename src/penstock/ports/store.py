"""The database: transactions over rows, one Protocol of rows per noun.

Contract. A unit is one transaction: it commits when its block ends, and rolls back when the block raises. No unit is
held across a slow call (network, engine, disk upload). Reads in one unit agree with each other. Every method raises
`Temporary` when the database cannot be reached; what is not there is None or an empty sequence, and duplicate keys
raise `AlreadyExists`.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from penstock.ports.access_rows import AccessRows
from penstock.ports.catalog_rows import CatalogRows
from penstock.ports.endpoint_rows import EndpointRows
from penstock.ports.profile_rows import ProfileRows
from penstock.ports.replica_rows import ReplicaRows
from penstock.ports.request_rows import RequestRows
from penstock.ports.upload_rows import UploadRows


class Unit(Protocol):
    """One transaction."""

    access: AccessRows
    catalog: CatalogRows
    uploads: UploadRows
    endpoints: EndpointRows
    replicas: ReplicaRows
    profiles: ProfileRows
    requests: RequestRows


class Store(Protocol):
    """Where units come from."""

    def unit(self) -> AbstractAsyncContextManager[Unit]:
        """One transaction that may write."""
        ...

    async def ping(self) -> None:
        """Returns if the database answers; raises Temporary if not."""
        ...
