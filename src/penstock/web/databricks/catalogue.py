"""All routes of the catalogue and its files, over one set of use cases."""

from collections.abc import Iterable
from dataclasses import dataclass

from fastapi import APIRouter

from penstock.control.files import Files
from penstock.control.grants import CatalogGrants
from penstock.control.models import Models
from penstock.control.namespaces import Namespaces
from penstock.control.uploads import Uploads
from penstock.control.versions import Versions
from penstock.ports.clock import Clock
from penstock.web.databricks import (
    files,
    grants,
    mlflow_models,
    mlflow_versions,
    signed_files,
    uc_models,
    uc_namespaces,
    uc_versions,
)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the routes need. `sdk_repository`: clients are told to use the Files API instead of signed addresses."""

    namespaces: Namespaces
    models: Models
    versions: Versions
    files: Files
    uploads: Uploads
    grants: CatalogGrants
    clock: Clock
    sdk_repository: bool = False


def routers(catalogue: Catalogue) -> Iterable[APIRouter]:
    """The routers."""
    yield mlflow_models.router(catalogue.models, catalogue.grants, sdk_repository=catalogue.sdk_repository)
    yield mlflow_versions.router(catalogue.versions, catalogue.models, catalogue.grants, catalogue.clock)
    yield uc_namespaces.router(catalogue.namespaces, catalogue.grants)
    yield uc_models.router(catalogue.models, catalogue.grants)
    yield uc_versions.router(catalogue.versions, catalogue.grants, catalogue.clock)
    yield grants.router(catalogue.grants)
    yield files.router(catalogue.files, catalogue.uploads, catalogue.grants)
    yield signed_files.router(catalogue.files, catalogue.uploads, catalogue.grants)
