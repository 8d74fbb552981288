"""Paths of files in model versions: `/Models/<catalog>/<schema>/<model>/<version>/<path>`, checked by segments."""

from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import unquote_to_bytes

from penstock.domain.catalog import check_number
from penstock.domain.errors import DoesNotExist, InvalidParameter, PathNotFound
from penstock.domain.names import ModelName

ROOT = "Models"
SEGMENT_LIMIT = 255
PATH_LIMIT = 2048
DEPTH_LIMIT = 32
_NAME_SEGMENTS = 5


@dataclass(frozen=True, slots=True)
class ArtifactPath:
    """A file or directory of a model version. `path` is relative to the version's files, '' for their root."""

    model: ModelName
    number: int
    path: str

    def __str__(self) -> str:
        return f"{root_of(self.model, self.number)}/{self.path}".rstrip("/")


def root_of(model: ModelName, number: int) -> str:
    """The path under which clients find the version's files."""
    return f"/{ROOT}/{model.catalog}/{model.schema}/{model.model}/{number}"


def decode(raw: str) -> str:
    """A path as it stands in a URL, percent-decoded segment by segment; raises InvalidParameter.

    A segment may not hold an encoded slash: it would become two.
    """
    return "/".join(_decode_segment(segment) for segment in raw.split("/"))


def _decode_segment(raw: str) -> str:
    try:
        segment = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise InvalidParameter(f"path must be percent-encoded UTF-8, but is {raw[:80]!r}.") from error
    if "/" in segment:
        raise InvalidParameter(f"path must not hold an encoded slash, but has {raw[:80]!r}.")
    return segment


def parse(path: str) -> ArtifactPath:
    """From a decoded path; raises PathNotFound if it is not one of a model version, InvalidParameter if it is unsafe.

    One slash at the end is allowed and means nothing.
    """
    segments = path.removeprefix("/").removesuffix("/").split("/")
    for segment in segments:
        check_segment(segment)
    if segments[0] != ROOT or len(segments) < _NAME_SEGMENTS:
        raise PathNotFound(
            f"No file or directory at '{path[:200]}': files are at /{ROOT}/<catalog>/<schema>/<model>/<version>/..."
        )
    try:
        model = ModelName.of(*segments[1:4])
        number = check_number(segments[4])
    except (InvalidParameter, DoesNotExist) as error:
        raise PathNotFound(f"No file or directory at '{path[:200]}': {error.message}") from error
    return ArtifactPath(model, number, check("/".join(segments[5:])))


def check(path: str) -> str:
    """Returns a path relative to a version's files, '' included; raises InvalidParameter naming the broken rule."""
    if not path:
        return path
    segments = path.split("/")
    for segment in segments:
        check_segment(segment)
    if len(segments) > DEPTH_LIMIT:
        raise InvalidParameter(f"path must be at most {DEPTH_LIMIT} levels deep, but has {len(segments)}.")
    if len(path.encode()) > PATH_LIMIT:
        raise InvalidParameter(f"path must be at most {PATH_LIMIT} bytes long, but has {len(path.encode())}.")
    return path


def check_segment(segment: str) -> None:
    """Raises InvalidParameter unless the segment is a plain file name: not empty, `.` or `..`, no NUL, 255 bytes."""
    if segment in {"", ".", ".."}:
        raise InvalidParameter(f"path must not have empty, '.' or '..' segments, but has '{segment}'.")
    if "\0" in segment or "/" in segment:
        raise InvalidParameter("path must not hold NUL characters or encoded slashes.")
    try:
        size = len(segment.encode())
    except UnicodeEncodeError as error:
        raise InvalidParameter("path must be valid Unicode.") from error
    if size > SEGMENT_LIMIT:
        raise InvalidParameter(f"A segment of path must be at most {SEGMENT_LIMIT} bytes long, but has {size}.")


class _InStorage(Protocol):
    @property
    def path(self) -> str: ...


_P = TypeVar("_P", bound=_InStorage)


def require_file(path: _P) -> _P:
    """Returns the path; raises InvalidParameter if it names the root of a version or storage: no file can be there."""
    if not path.path:
        raise InvalidParameter(f"path '{path}' names the root of files, such as a model version, not a file in it.")
    return path
