"""Rows of the catalogue; the contract is `penstock.ports.catalog_rows`."""

from penstock.adapters.store.model_rows import SqlModelRows
from penstock.adapters.store.namespace_rows import SqlNamespaceRows
from penstock.adapters.store.version_rows import SqlVersionRows


class SqlCatalogRows(SqlNamespaceRows, SqlModelRows, SqlVersionRows):
    """See `penstock.ports.catalog_rows.CatalogRows`."""
