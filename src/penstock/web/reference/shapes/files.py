"""Answers about files: of model versions and runs, and those of batches."""

from typing import Literal

from msgspec import UNSET

from penstock.web.reference.shapes.shape import Maybe, Shape


class FileUrl(Shape):
    """A signed address; `headers` are none."""

    url: str
    headers: list[dict[str, str]]


class PartUrl(FileUrl):
    """A signed address of a part."""

    part_number: int


class PartUrls(Shape):
    """Signed addresses of parts."""

    upload_part_urls: list[PartUrl]


class AbortUrl(Shape):
    """The signed address at which an upload is given up."""

    abort_upload_url: FileUrl


class UploadSession(Shape):
    """What names an upload in parts."""

    session_token: str


class UploadAnswer(Shape):
    """A new upload; empty for the end of one."""

    multipart_upload: Maybe[UploadSession] = UNSET


class DirectoryEntry(Shape):
    """A file or a directory."""

    path: str
    name: str
    is_directory: bool
    last_modified: int
    file_size: Maybe[int] = UNSET


class DirectoryContents(Shape):
    """A page of a directory."""

    contents: list[DirectoryEntry]
    next_page_token: Maybe[str] = UNSET


class RunArtifact(Shape):
    """An artifact of a run, or a folder of them."""

    path: str
    is_dir: bool
    file_size: Maybe[int] = UNSET


class RunArtifacts(Shape):
    """The artifacts in a folder."""

    files: list[RunArtifact]


class BatchFile(Shape):
    """A file, in OpenAI's words; times in seconds."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str
    status_details: None


class _Page(Shape):
    object: Literal["list"]
    first_id: str | None
    last_id: str | None
    has_more: bool


class BatchFiles(_Page):
    """A page of files."""

    data: list[BatchFile]


class DeletedFile(Shape):
    """A file that is gone."""

    id: str
    object: Literal["file"]
    deleted: bool


class BatchProblem(Shape):
    """Why a batch failed."""

    code: str
    message: str
    line: int | None
    param: None


class BatchProblems(Shape):
    """Why a batch failed, line by line."""

    object: Literal["list"]
    data: list[BatchProblem]


class BatchCounts(Shape):
    """Rows of a batch."""

    total: int
    completed: int
    failed: int


class BatchAnswer(Shape):
    """A batch, in OpenAI's words; times in seconds."""

    id: str
    object: Literal["batch"]
    endpoint: str
    errors: BatchProblems | None
    input_file_id: str
    completion_window: str
    status: str
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    expires_at: int | None
    in_progress_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: BatchCounts
    metadata: dict[str, str] | None


class Batches(_Page):
    """A page of batches."""

    data: list[BatchAnswer]
