"""The Hugging Face Hub, or a mirror of it, by `huggingface_hub`.

Token, address and cache are those of that library's own variables: HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE, HF_HOME. Its
own downloads throw away what came when they are cut off, and it takes hours to bring a large model: hence files are
asked for here by the same requests, from where the last try ended.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, but not listed

from penstock.domain.errors import DoesNotExist, PenstockError, PermissionDenied, Temporary
from penstock.ports.hub import HubFile, Snapshot, Tell

BLOCK_BYTES = 4 << 20
RETRY_S = 30
_UNAUTHORISED, _FORBIDDEN, _TOO_MANY = 401, 403, 429


class HuggingFaceHub:
    """See `penstock.ports.hub.Hub`."""

    def __init__(self, endpoint: str | None = None, token: str | None = None, cache: Path | None = None) -> None:
        """Without `endpoint`, `token` or `cache` (a folder): what the library's own variables say."""
        self._endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self._token = token
        self._cache = cache

    @property
    def address(self) -> str:
        """The hub's address."""
        return self._endpoint

    def snapshot(self, repository: str, revision: str) -> Snapshot:
        """What the repository holds."""
        with self._told(repository):
            api = HfApi(endpoint=self._endpoint, token=self._token)
            info = api.model_info(repository, revision=revision, files_metadata=True)
            return self._snapshot(repository, revision, info)

    def _snapshot(self, repository: str, revision: str, info: ModelInfo) -> Snapshot:
        files = tuple(
            HubFile(one.rfilename, one.size or 0, "", one.blob_id or "")
            if one.lfs is None
            else HubFile(one.rfilename, one.size or 0, one.lfs.sha256)
            for one in info.siblings or ()
        )
        return Snapshot(repository, info.sha or revision, files)

    def fetch(self, snapshot: Snapshot, file: HubFile, target: Path, tell: Tell) -> None:
        """Brings one file."""
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        with self._told(snapshot.repository):
            self._download(snapshot, file, part, tell)
        _check(part, file)
        part.replace(target)

    def _download(self, snapshot: Snapshot, file: HubFile, part: Path, tell: Tell) -> None:
        url = hf_hub_url(snapshot.repository, file.path, revision=snapshot.commit, endpoint=self._endpoint)
        found = get_hf_file_metadata(url, token=self._token, endpoint=self._endpoint)
        headers = build_hf_headers(token=self._token)
        if urlsplit(found.location).netloc != urlsplit(url).netloc:
            # A signed address of whoever stores the file: the token is not for them.
            headers.pop("authorization", None)
        headers["Accept-Encoding"] = "identity"
        have = part.stat().st_size if part.exists() else 0
        if have > file.size:
            part.unlink()
            have = 0
        tell(have)
        if have == file.size and have:
            return
        with part.open("ab") as content:
            http_get(
                found.location,
                content,
                resume_size=have,
                headers=headers,
                expected_size=file.size,
                tqdm_class=cast("Any", partial(_Silent, tell)),
            )

    def cached(self, repository: str, revision: str) -> Path | None:
        """The folder in the library's cache."""
        with suppress(LocalEntryNotFoundError, EntryNotFoundError, RevisionNotFoundError, HFValidationError):
            return Path(
                snapshot_download(
                    repository, revision=revision, local_files_only=True, cache_dir=self._cache, endpoint=self._endpoint
                )
            )
        return None

    @contextmanager
    def _told(self, repository: str) -> Iterator[None]:
        """The library's errors in our words."""
        try:
            yield
        except GatedRepoError as error:
            raise PermissionDenied(
                f"{repository} is given out only to those who accepted its licence: open {self._endpoint}/{repository} "
                "and accept it there, then set HF_TOKEN to a token of that account, and pull again."
            ) from error
        except RepositoryNotFoundError as error:
            raise DoesNotExist(
                f"There is no repository {repository} at {self._endpoint}, or it is private: then HF_TOKEN must be a "
                "token of somebody who may read it."
            ) from error
        except (RevisionNotFoundError, EntryNotFoundError) as error:
            raise DoesNotExist(f"{repository} has no such revision or file at {self._endpoint}.") from error
        except HFValidationError as error:
            raise DoesNotExist(f"{repository!r:.200} is not the name of a repository.") from error
        except OfflineModeIsEnabled as error:
            raise Temporary("Nothing may be asked of the hub: HF_HUB_OFFLINE is set.", RETRY_S) from error
        except HfHubHTTPError as error:
            raise self._status(repository, error) from error
        except FileMetadataError as error:
            raise PenstockError(
                f"{self._endpoint} does not answer as a hub does. Is HF_ENDPOINT right? {error}"
            ) from error
        except httpx2.HTTPError as error:
            raise Temporary(
                f"The hub {self._endpoint} cannot be reached: {str(error).rstrip('.') or type(error).__name__}. "
                "What has come is kept.",
                RETRY_S,
            ) from error
        except OSError as error:
            raise PenstockError(f"{repository} could not be brought: {error}") from error

    def _status(self, repository: str, error: HfHubHTTPError) -> PenstockError:
        status = error.response.status_code
        if status in {_UNAUTHORISED, _FORBIDDEN}:
            return PermissionDenied(f"The hub {self._endpoint} refuses {repository} to this token (HF_TOKEN).")
        if status == _TOO_MANY:
            return Temporary(f"The hub {self._endpoint} asks to come back later.", RETRY_S)
        return Temporary(f"The hub {self._endpoint} answered with status {status}. What has come is kept.", RETRY_S)


def _check(part: Path, file: HubFile) -> None:
    """Raises PenstockError unless the file is as announced; what is not is thrown away."""
    size = part.stat().st_size
    problem = "" if size == file.size else f"it has {size} bytes instead of {file.size}"
    if not problem and file.sha256 and _sha256(part) != file.sha256:
        problem = "its SHA-256 is not the one that the hub announced"
    if not problem and file.blob and _git_name(part, size) != file.blob:
        problem = "its content is not what the hub announced"
    if problem:
        part.unlink()
        raise PenstockError(f"{file.path} is damaged: {problem}. It was thrown away; pull again.")


def _sha256(path: Path) -> str:
    sha = hashlib.sha256()
    for block in _blocks(path):
        sha.update(block)
    return sha.hexdigest()


def _git_name(path: Path, size: int) -> str:
    sha = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for block in _blocks(path):
        sha.update(block)
    return sha.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as content:
        while block := content.read(BLOCK_BYTES):
            yield block


class _Silent:
    """A progress bar as the library wants one, which shows nothing but tells."""

    def __init__(self, tell: Tell, **_told: object) -> None:
        self._tell = tell

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        pass

    def update(self, count: float = 1) -> None:
        """So many more bytes."""
        self._tell(int(count))
