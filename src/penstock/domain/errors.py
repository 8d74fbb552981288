"""The one tree of errors.

    PenstockError                      INTERNAL_ERROR             500
    |- InvalidRequest                  BAD_REQUEST                400
    |  |- InvalidParameter             INVALID_PARAMETER_VALUE    400
    |  |- MalformedBody                MALFORMED_REQUEST          400
    |  |- TooLarge                     BAD_REQUEST                413 -> 400 (clients know no 413)
    |- Unauthenticated                 UNAUTHENTICATED            401
    |- PermissionDenied                PERMISSION_DENIED          403
    |- DoesNotExist                    RESOURCE_DOES_NOT_EXIST    404
    |  |- EndpointNotFound             ENDPOINT_NOT_FOUND         404
    |  |- PathNotFound                 NOT_FOUND                  404
    |- AlreadyExists                   RESOURCE_ALREADY_EXISTS    409
    |  |- ScopeExists                  RESOURCE_ALREADY_EXISTS    400 (as the platform answers for secrets)
    |- Conflict                        RESOURCE_CONFLICT          409
    |- Overloaded                      REQUEST_LIMIT_EXCEEDED     429, carries retry_after_s
    |  |- LimitExceeded                REQUEST_LIMIT_EXCEEDED     429, and the facts of the limit
    |- QuotaExceeded                   QUOTA_EXCEEDED             400
    |  |- ResourceLimitExceeded        RESOURCE_LIMIT_EXCEEDED    400
    |- Temporary                       TEMPORARILY_UNAVAILABLE    503, carries retry_after_s
    |- EngineFailed                    INTERNAL_ERROR             502 -> 500
    |  |- ProviderFailed               INTERNAL_ERROR             502 -> 500
    |  |  |- ProviderLate              DEADLINE_EXCEEDED          504
    |- DeadlineExceeded                DEADLINE_EXCEEDED          504

Each class knows its API code; the table from codes to HTTP statuses is `penstock.web.errors`.
Messages name the field and the rule. They never hold a secret.
"""

from collections.abc import Mapping


class PenstockError(Exception):
    """Something failed that is Penstock's own fault."""

    code = "INTERNAL_ERROR"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__ or "")

    @property
    def message(self) -> str:
        """What the caller is told."""
        return str(self.args[0])


class InvalidRequest(PenstockError):
    """The request cannot be understood or is against a rule."""

    code = "BAD_REQUEST"


class InvalidParameter(InvalidRequest):
    """A field holds a value that its rule forbids."""

    code = "INVALID_PARAMETER_VALUE"


class MalformedBody(InvalidRequest):
    """The body is not the JSON object that this route takes."""

    code = "MALFORMED_REQUEST"


class TooLarge(InvalidRequest):
    """The body is larger than this route takes."""


class Unauthenticated(PenstockError):
    """Credential was not sent or was of an unsupported type for this API."""

    code = "UNAUTHENTICATED"


class PermissionDenied(PenstockError):
    """The caller may not do this."""

    code = "PERMISSION_DENIED"


class DoesNotExist(PenstockError):
    """The named thing does not exist."""

    code = "RESOURCE_DOES_NOT_EXIST"


class EndpointNotFound(DoesNotExist):
    """The given endpoint does not exist, please retry after checking the specified model and version deployment exists."""  # noqa: E501 - the platform's own words

    code = "ENDPOINT_NOT_FOUND"


class PathNotFound(DoesNotExist):
    """No file or directory is at this path."""

    code = "NOT_FOUND"


class AlreadyExists(PenstockError):
    """A thing of that name exists already."""

    code = "RESOURCE_ALREADY_EXISTS"


class ScopeExists(AlreadyExists):
    """A secret scope of that name exists already."""


class Conflict(PenstockError):
    """The thing is in a state that does not allow this now."""

    code = "RESOURCE_CONFLICT"


class QuotaExceeded(PenstockError):
    """A limit on the number of things is reached."""

    code = "QUOTA_EXCEEDED"


class ResourceLimitExceeded(QuotaExceeded):
    """A limit on the number of things is reached that the API names like this."""

    code = "RESOURCE_LIMIT_EXCEEDED"


class Overloaded(PenstockError):
    """More is asked than can be served now; retry after `retry_after_s` seconds."""

    code = "REQUEST_LIMIT_EXCEEDED"

    def __init__(self, message: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LimitExceeded(Overloaded):
    """A rate limit leaves no room; `facts` name it: its key, its value, what is used, and when there is room."""

    def __init__(self, message: str, retry_after_s: int, facts: Mapping[str, str]) -> None:
        super().__init__(message, retry_after_s)
        self.facts = facts


class Temporary(PenstockError):
    """Cannot be done now, but will be possible after `retry_after_s` seconds."""

    code = "TEMPORARILY_UNAVAILABLE"

    def __init__(self, message: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineFailed(PenstockError):
    """The engine that served the request failed."""


class ProviderFailed(EngineFailed):
    """The provider of the external model failed."""


class ProviderLate(ProviderFailed):
    """The provider of the external model did not answer in time."""

    code = "DEADLINE_EXCEEDED"


class DeadlineExceeded(PenstockError):
    """The request was not answered within its time limit."""

    code = "DEADLINE_EXCEEDED"
