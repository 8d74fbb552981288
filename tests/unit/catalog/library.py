"""The use cases of the catalogue on fakes, in virtual time."""

from dataclasses import dataclass, field
from pathlib import Path

from penstock.adapters.signing import HmacSigner
from penstock.control.files import Files, Limits
from penstock.control.janitor import Janitor
from penstock.control.models import Models
from penstock.control.namespaces import Namespaces
from penstock.control.uploads import Uploads
from penstock.control.versions import NewVersion, Versions
from penstock.domain.access import Caller, Principal, PrincipalKind, Scope
from penstock.domain.artifact_path import ArtifactPath
from penstock.domain.catalog import ModelVersion
from penstock.domain.model import ModelFacts, Task
from penstock.domain.names import ModelName
from penstock.testing.artifacts import FakeArtifacts
from penstock.testing.clock import FakeClock
from penstock.testing.store import FakeStore

GUIDE = ModelName("main", "default", "guide")


def caller(name: str = "ann@x.org", *groups: str) -> Caller:
    return Caller(Principal("1", name, name, PrincipalKind.USER, frozenset(groups)), Scope.ALL_APIS, "t")


async def chunks(*pieces: bytes):
    for piece in pieces:
        yield piece


@dataclass
class FakeReader:
    """Says that whatever is there cannot be served; `read` lists what it was asked to read."""

    asked: list[Path] = field(default_factory=list)

    async def read(self, directory: Path) -> ModelFacts:
        self.asked.append(directory)
        return ModelFacts(Task.CHAT, "x", "X", 1, 2, 3, None, False, False, "It is a fake.")


class Library:
    """Everything, over one store."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore()
        self.artifacts = FakeArtifacts(self.clock)
        self.reader = FakeReader()
        self.namespaces = Namespaces(self.store, self.clock, self.artifacts)
        self.models = Models(self.store, self.clock, self.artifacts)
        self.versions = Versions(self.store, self.clock, self.artifacts, self.reader)
        self.files = Files(self.store, self.clock, self.artifacts, HmacSigner(b"k" * 32), Limits(1000, 60_000))
        self.uploads = Uploads(self.store, self.clock, self.artifacts, self.files)
        self.janitor = Janitor(self.store, self.clock, self.artifacts, self.versions, 24 * 3600)

    async def register(self, name: ModelName = GUIDE) -> ModelVersion:
        """A pending version of a model that is made if need be."""
        async with self.store.unit() as unit:
            known = await unit.catalog.model(name)
        if known is None:
            await self.models.create(caller(), name, "", ())
        return await self.versions.create(caller(), name, NewVersion("somewhere"))

    async def put(self, version: ModelVersion, path: str, content: bytes = b"content") -> ArtifactPath:
        """Uploads a file."""
        where = ArtifactPath(version.name, version.number, path)
        await self.files.upload(where, chunks(content), overwrite=True)
        return where
