"""The database: transactions over rows, one Protocol of rows per noun.

Contract. A unit is one transaction: it commits when its block ends, and rolls back when the block raises. No unit is
held across a slow call (network, engine, disk upload). Reads in one unit agree with each other. Every method raises
`Temporary` when the database cannot be reached; what is not there is None or an empty sequence, and duplicate keys
raise `AlreadyExists`.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from penstock.ports.access_rows import AccessRows
from penstock.ports.audit_rows import AuditRows
from penstock.ports.batch_rows import BatchRows
from penstock.ports.catalog_rows import CatalogRows
from penstock.ports.endpoint_rows import EndpointRows
from penstock.ports.grant_rows import GrantRows
from penstock.ports.group_rows import GroupRows
from penstock.ports.ledger_rows import LedgerRows
from penstock.ports.place_rows import PlaceRows
from penstock.ports.profile_rows import ProfileRows
from penstock.ports.replica_rows import ReplicaRows
from penstock.ports.request_rows import RequestRows
from penstock.ports.scaling_rows import ScalingRows
from penstock.ports.secret_rows import SecretRows
from penstock.ports.upload_rows import UploadRows


class Unit(Protocol):
    """One transaction."""

    @property
    def access(self) -> AccessRows:
        """Principals, tokens and client secrets."""
        ...

    @property
    def groups(self) -> GroupRows:
        """Groups of principals."""
        ...

    @property
    def catalog(self) -> CatalogRows:
        """Registered models and their versions."""
        ...

    @property
    def uploads(self) -> UploadRows:
        """Uploads that are not finished."""
        ...

    @property
    def endpoints(self) -> EndpointRows:
        """Endpoints and their configurations."""
        ...

    @property
    def places(self) -> PlaceRows:
        """Which devices endpoints run on."""
        ...

    @property
    def replicas(self) -> ReplicaRows:
        """Replicas."""
        ...

    @property
    def profiles(self) -> ProfileRows:
        """Measured profiles."""
        ...

    @property
    def batches(self) -> BatchRows:
        """Batches and their files."""
        ...

    @property
    def requests(self) -> RequestRows:
        """The request ledger."""
        ...

    @property
    def scaling(self) -> ScalingRows:
        """Changes of allotments."""
        ...

    @property
    def ledger(self) -> LedgerRows:
        """The ledger's minutes and hours."""
        ...

    @property
    def secrets(self) -> SecretRows:
        """Secret scopes and sealed secrets."""
        ...

    @property
    def audit(self) -> AuditRows:
        """The audit log."""
        ...

    @property
    def grants(self) -> GrantRows:
        """Grants on the catalogue."""
        ...


class Store(Protocol):
    """Where units come from."""

    def unit(self) -> AbstractAsyncContextManager[Unit]:
        """One transaction that may write."""
        ...

    async def ping(self) -> None:
        """Returns if the database answers; raises Temporary if not."""
        ...
