"""The wire formats for chat that are spoken beside its own."""

from penstock.web.anthropic.dialect import MessagesDialect
from penstock.web.gemini.dialect import ContentDialect, ContentStreamDialect
from penstock.web.openai.dialect import Dialect
from penstock.web.responses.dialect import ResponsesDialect

DIALECTS: tuple[Dialect, ...] = (
    ResponsesDialect(),
    MessagesDialect(),
    ContentDialect(),
    ContentStreamDialect(),
)
