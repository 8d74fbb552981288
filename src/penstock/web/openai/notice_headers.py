"""The headers with which answers of a model say that it will not be served for long."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from email.utils import format_datetime

from penstock.domain.foundation import Notice

Headers = Sequence[tuple[bytes, bytes]]


def notice_headers(notice: Notice) -> Headers:
    """`warning` with the words (RFC 7234), and `sunset` (RFC 8594) where it is known from when on it is gone."""
    words = notice.words.replace('"', "'").replace("\\", "").encode("ascii", "replace")
    headers = [(b"warning", b'299 penstock "%s"' % words)]
    if notice.ends_on:
        ends = datetime.combine(date.fromisoformat(notice.ends_on), time(), UTC)
        headers.append((b"sunset", format_datetime(ends, usegmt=True).encode()))
    return tuple(headers)
