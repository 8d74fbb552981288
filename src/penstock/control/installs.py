"""Use cases of installations from the marketplace: begun, watched, cancelled, resumed; each becomes a version.

What came is kept until it is registered, so that an installation that was cancelled, failed or outlived by the server
goes on where it stopped.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.control.bases import problem
from penstock.control.grants import CatalogGrants
from penstock.control.marketplace import Marketplace, chosen
from penstock.control.models import Models
from penstock.control.versions import NewVersion, Versions
from penstock.domain.access import Caller
from penstock.domain.errors import AlreadyExists, Conflict, DoesNotExist, PenstockError, QuotaExceeded
from penstock.domain.grant import Privilege
from penstock.domain.market import Install, InstallState
from penstock.domain.mlmodel import FOLDER, mlmodel
from penstock.domain.model import Task
from penstock.domain.names import ModelName
from penstock.domain.system import check_not_system
from penstock.ports.artifacts import ArtifactStore
from penstock.ports.clock import Clock
from penstock.ports.hub import HubFile, Snapshot
from penstock.ports.installs import InstallFiles
from penstock.ports.market import Market


@dataclass(frozen=True, slots=True)
class InstallWish:
    """What is to be installed, and where to."""

    repository: str
    model: ModelName
    task: Task
    revision: str = "main"
    source: str = ""


class _Stopped(Exception):
    """The installation was cancelled, or the server stops."""


class _Run:
    """One that runs. `came` is counted by the thread that brings files."""

    def __init__(self, install: Install) -> None:
        self.install = install
        self.came = 0
        self.stopped = False
        self.task: asyncio.Task[None] | None = None

    def tell(self, count: int) -> None:
        """So many bytes more; raises _Stopped in the thread if no more are wanted."""
        self.came += count
        if self.stopped:
            raise _Stopped


class Installs:
    """Installations of models. Lives on one event loop."""

    def __init__(
        self,
        market: Marketplace,
        files: InstallFiles,
        *,
        models: Models,
        versions: Versions,
        artifacts: ArtifactStore,
        grants: CatalogGrants,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._market = market
        self._files = files
        self._models = models
        self._versions = versions
        self._artifacts = artifacts
        self._grants = grants
        self._clock = clock
        self._new_id = new_id
        self._known: dict[str, Install] = {}
        self._runs: dict[str, _Run] = {}

    async def recover(self) -> None:
        """At start: what a former server was doing can be resumed."""
        for one in await asyncio.to_thread(self._files.all):
            ended = one.state is not InstallState.RUNNING
            self._known[one.id] = one if ended else self._stopped(one, "The server was restarted.")

    async def close(self) -> None:
        """Stops what runs; it can be resumed."""
        runs = list(self._runs.values())
        for run in runs:
            run.stopped = True
        await asyncio.gather(*(run.task for run in runs if run.task is not None), return_exceptions=True)

    async def begin(self, caller: Caller, wish: InstallWish) -> Install:
        """Begins one; raises DoesNotExist for an unknown source, PermissionDenied without CREATE_MODEL there."""
        await self._check(caller, wish.model)
        source = (await self._market.market(wish.source)).address
        now = self._clock.now_ms()
        install = Install(
            id=self._new_id(),
            source=source,
            repository=wish.repository,
            revision=wish.revision,
            model=str(wish.model),
            task=wish.task,
            owner=caller.principal.name,
            created_at=now,
            changed_at=now,
        )
        return await self._start(caller, install)

    def all(self, caller: Caller) -> Sequence[Install]:
        """The caller's own, newest first; an administrator's list has everybody's."""
        mine = [self._now(one) for one in self._known.values() if _may(caller, one)]
        return sorted(mine, key=lambda one: (-one.created_at, one.id))

    def get(self, caller: Caller, install_id: str) -> Install:
        """One of them as it stands; raises DoesNotExist."""
        return self._now(self._mine(caller, install_id))

    async def cancel(self, caller: Caller, install_id: str) -> Install:
        """Stops it; what came is kept. Raises Conflict if it does not run."""
        self._mine(caller, install_id)
        run = self._runs.get(install_id)
        if run is None:
            raise Conflict(f"The installation '{install_id}' does not run.")
        run.stopped = True
        if run.task is not None:
            await asyncio.gather(run.task, return_exceptions=True)
        return self._known[install_id]

    async def resume(self, caller: Caller, install_id: str) -> Install:
        """Goes on where it stopped; raises Conflict unless it was cancelled or failed."""
        install = self._mine(caller, install_id)
        if install_id in self._runs or install.state not in {InstallState.CANCELLED, InstallState.FAILED}:
            raise Conflict(f"The installation '{install_id}' is {install.state}: there is nothing to resume.")
        await self._check(caller, install.name)
        return await self._start(caller, replace(install, state=InstallState.RUNNING, message="", came=0))

    async def forget(self, caller: Caller, install_id: str) -> None:
        """Forgets one that ended, with what came of it; its version stays. Raises Conflict if it runs."""
        self._mine(caller, install_id)
        if install_id in self._runs:
            raise Conflict(f"The installation '{install_id}' runs; cancel it first.")
        del self._known[install_id]
        await asyncio.to_thread(self._files.forget, install_id)

    async def _check(self, caller: Caller, name: ModelName) -> None:
        check_not_system(name.catalog)
        await self._grants.check_create(caller, name)
        with suppress(DoesNotExist):
            await self._models.get(name)
            await self._grants.check(caller, name, Privilege.MODIFY)

    async def _start(self, caller: Caller, install: Install) -> Install:
        run = _Run(install)
        self._known[install.id] = install
        self._runs[install.id] = run
        await asyncio.to_thread(self._files.save, install)
        run.task = asyncio.create_task(self._run(caller, run), name=f"install {install.id}")
        return install

    async def _run(self, caller: Caller, run: _Run) -> None:
        try:
            ended = await self._carry(caller, run)
        except _Stopped:
            ended = self._stopped(self._now(run.install), "It was cancelled; what has come is kept.")
        except PenstockError as error:
            ended = self._ended(self._now(run.install), InstallState.FAILED, error.message)
        except OSError as error:
            ended = self._ended(self._now(run.install), InstallState.FAILED, f"The disk: {error.strerror or error}.")
        finally:
            self._runs.pop(run.install.id, None)
        self._known[ended.id] = ended
        await asyncio.to_thread(self._files.save, ended)

    async def _carry(self, caller: Caller, run: _Run) -> Install:
        """Brings the files, then registers them."""
        install = run.install
        market = await self._market.market(install.source)
        listing, snapshot = await asyncio.to_thread(market.describe, install.repository, install.revision)
        files = chosen(snapshot)
        folder = await asyncio.to_thread(self._files.folder, install.id)
        run.install = self._known[install.id] = replace(install, size=sum(file.size for file in files))
        await asyncio.to_thread(self._check_room, run.install, folder, files)
        for file in files:
            run.install = replace(run.install, file=file.path)
            await asyncio.to_thread(_bring, market, snapshot, file, folder / snapshot.commit / file.path, run.tell)
        if run.stopped:
            raise _Stopped
        source = f"{install.source}/{install.repository}@{snapshot.commit}"
        card = json.dumps(mlmodel(install.task, install.repository, source, listing.licence))
        return await self._register(caller, run, folder / snapshot.commit, source, card)

    def _check_room(self, install: Install, folder: Path, files: Sequence[HubFile]) -> None:
        here = sum(path.stat().st_size for path in _files(folder))
        needed, room = sum(file.size for file in files) - here, self._files.room()
        if needed > room:
            raise QuotaExceeded(
                f"{install.repository} needs {needed / 1e9:.1f} GB more, and the disk has {room / 1e9:.1f} GB left."
            )

    async def _register(self, caller: Caller, run: _Run, folder: Path, source: str, card: str) -> Install:
        name = run.install.name
        await asyncio.to_thread((folder / "MLmodel").write_text, card)
        with suppress(AlreadyExists):
            await self._models.create(caller, name, f"From {source}.", ())
        made = await self._versions.create(caller, name, NewVersion(source=source))
        for path in await asyncio.to_thread(_files, folder):
            inner = path.relative_to(folder).as_posix()
            place = inner if inner == "MLmodel" else f"{FOLDER}/{inner}"
            await self._artifacts.adopt(made.storage, place, path)
        version = await self._versions.finalize(name, made.number, caller.principal.name)
        await asyncio.to_thread(self._files.clear, run.install.id)
        return replace(self._ended(self._now(run.install), InstallState.DONE, problem(version)), version=version.number)

    def _now(self, install: Install) -> Install:
        """With what has come until now."""
        run = self._runs.get(install.id)
        return install if run is None else replace(run.install, came=run.came)

    def _stopped(self, install: Install, why: str) -> Install:
        return self._ended(install, InstallState.CANCELLED, why)

    def _ended(self, install: Install, state: InstallState, message: str) -> Install:
        return replace(install, state=state, message=message, file="", changed_at=self._clock.now_ms())

    def _mine(self, caller: Caller, install_id: str) -> Install:
        install = self._known.get(install_id)
        if install is None or not _may(caller, install):
            raise DoesNotExist(f"There is no installation '{install_id[:80]}'.")
        return install


def _may(caller: Caller, install: Install) -> bool:
    return caller.principal.is_admin or caller.principal.name == install.owner


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _bring(market: Market, snapshot: Snapshot, file: HubFile, target: Path, tell: Callable[[int], None]) -> None:
    tell(0)
    if target.exists():
        tell(file.size)
    else:
        market.fetch(snapshot, file, target, tell)
