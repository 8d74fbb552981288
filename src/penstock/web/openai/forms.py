"""The forms that requests to custom models have, for models that take texts: they are put in OpenAI's, and back.

`dataframe_split`, `dataframe_records`, `inputs` and `instances` hold rows; what the task asks with is one column of
them, or the rows themselves, and other columns are fields of the request, the same in every row. `params` holds further
fields. The answer is `{"predictions": [...]}`, one for each row.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from penstock.domain.errors import MalformedBody, PenstockError
from penstock.domain.model import Task
from penstock.domain.usage import Usage
from penstock.gateway.call import Reply
from penstock.web.openai.rules import bad

FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")
_MARKS = tuple(f'"{form}"'.encode() for form in FORMS)
_COLUMNS = {Task.CHAT: "messages", Task.COMPLETIONS: "prompt", Task.EMBEDDINGS: "input"}
_fields = msgspec.json.Decoder(dict[str, Raw])
_OK = 200


def may_hold_a_form(body: bytes) -> bool:
    """Whether a body may have one of these forms: quick, and wrong where a text holds such a word."""
    return any(mark in body for mark in _MARKS)


def translated(task: Task, body: bytes) -> bytes | None:
    """The body in OpenAI's form, None if it has none of these; raises InvalidRequest naming the field."""
    try:
        return _translated(task, body)
    except RecursionError:
        raise MalformedBody("The request body is nested too deeply.") from None


def _translated(task: Task, body: bytes) -> bytes | None:
    try:
        given = _fields.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    forms = [form for form in FORMS if form in given]
    if not forms:
        return None
    if len(forms) > 1 or _COLUMNS[task] in given:
        both = [*forms, _COLUMNS[task]][:2]
        raise bad(both[0], f'must not be given together with "{both[1]}": they say the same')
    form = forms[0]
    fields: dict[str, Any] = {name: value for name, value in given.items() if name not in (form, "params")}
    fields |= _params(given.get("params"))
    if _value(fields.get("stream")):
        raise bad("stream", f'must be false with "{form}": its predictions come in one piece')
    column, rows, more = _table(task, form, _value(given[form]))
    fields |= more
    fields[column] = _asked(task, form, rows)
    return msgspec.json.encode(fields)


def _value(raw: object) -> Any:
    return msgspec.json.decode(raw) if isinstance(raw, Raw) else raw


def _params(raw: Raw | None) -> dict[str, Any]:
    params = _value(raw)
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise bad("params", "must be an object")
    return params


def _table(task: Task, form: str, value: Any) -> tuple[str, list[Any], dict[str, Any]]:
    """The task's column, its values in the rows' order, and the other columns, of which each has one value."""
    column = _COLUMNS[task]
    rows = _ROWS[form](column, value)
    if not rows:
        raise bad(form, "must hold at least one row")
    records = [row if isinstance(row, dict) else {column: row} for row in rows]
    names = list(records[0])
    if any(list(record) != names for record in records):
        raise bad(form, "must have the same columns in all rows")
    # A table of one column needs no name for it.
    own = column if column in names else names[0] if len(names) == 1 else ""
    if not own:
        raise bad(form, f'must have a column "{column}", but has {", ".join(map(str, names))}')
    more = {name: records[0][name] for name in names if name != own}
    for name, first in more.items():
        if any(record[name] != first for record in records):
            raise bad(f"{form}.{name}", "must be the same in all rows: it holds for the whole request")
    return column, [record[own] for record in records], more


def _split(_column: str, value: Any) -> list[Any]:
    tables = value if isinstance(value, list) else [value]
    rows: list[Any] = []
    for table in tables:
        columns = table.get("columns") if isinstance(table, dict) else None
        data = table.get("data") if isinstance(table, dict) else None
        if not isinstance(columns, list) or not isinstance(data, list):
            raise bad("dataframe_split", 'must be {"columns": [...], "data": [[...], ...]}')
        for row in data:
            if not isinstance(row, list) or len(row) != len(columns):
                raise bad("dataframe_split.data", f"must hold rows of {len(columns)} values, as there are columns")
            rows.append({str(name): cell for name, cell in zip(columns, row, strict=True)})
    return rows


def _records(_column: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise bad("dataframe_records", "must be a list of objects, one for each row")
    return value


def _instances(_column: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise bad("instances", "must be a list, with one item for each row")
    return value


def _inputs(column: str, value: Any) -> list[Any]:
    """A text, rows, a conversation, or columns."""
    if isinstance(value, list):
        return [value] if column == "messages" and _is_conversation(value) else value
    if not isinstance(value, dict):
        return [value]
    single = {name: not isinstance(cell, list) or _is_conversation(cell) for name, cell in value.items()}
    lengths = {len(cell) for name, cell in value.items() if not single[name]}
    if len(lengths) > 1:
        raise bad("inputs", "must have columns of the same length")
    count = lengths.pop() if lengths else 1
    places = range(count if value else 0)
    return [{name: cell if single[name] else cell[place] for name, cell in value.items()} for place in places]


_ROWS = {"dataframe_split": _split, "dataframe_records": _records, "inputs": _inputs, "instances": _instances}


def _is_conversation(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(one, dict) and "role" in one for one in value)


def _asked(task: Task, form: str, values: list[Any]) -> Any:
    if task is Task.CHAT:
        if len(values) > 1:
            raise bad(
                form, f"must hold one row for the task {task}, but holds {len(values)}: send one for each request"
            )
        [only] = values
        return [{"role": "user", "content": only}] if isinstance(only, str) else only
    for value in values:
        if not isinstance(value, str):
            raise bad(form, f'must hold texts in the column "{_COLUMNS[task]}" for the task {task}')
    return values


_ABSENT = Raw()
"""What a field holds that is not there."""


class _Message(msgspec.Struct):
    content: Raw = _ABSENT
    tool_calls: Raw = _ABSENT


class _Item(msgspec.Struct):
    """A choice or an embedding; `text` is a completion's."""

    message: Raw = _ABSENT
    text: Raw = _ABSENT
    embedding: Raw = _ABSENT


class _Answer(msgspec.Struct):
    choices: list[_Item] = []
    data: list[_Item] = []
    usage: Raw = _ABSENT


_answer = msgspec.json.Decoder(_Answer)
_message = msgspec.json.Decoder(_Message)


def predictions(body: bytes) -> bytes:
    """An answer in OpenAI's form as predictions: texts, vectors, or a message where tools are called."""
    answer = _answer.decode(body)
    told: dict[str, Any] = {"predictions": [_prediction(one) for one in answer.choices or answer.data]}
    if bytes(answer.usage):
        told["usage"] = answer.usage
    return msgspec.json.encode(told)


def _prediction(item: _Item) -> Raw | None:
    if bytes(item.message):
        message = _message.decode(item.message)
        calls = bytes(message.tool_calls) not in {b"", b"null"}
        return item.message if calls else _given(message.content)
    return _given(item.text) or _given(item.embedding)


def _given(value: Raw) -> Raw | None:
    return value if bytes(value) else None


class PredictionsReply:
    """A client's end that takes predictions; see `penstock.gateway.call.Reply`."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def begin(self, status: int, content_type: bytes, entity: str, retry_after: bytes = b"") -> None:
        """Sends the head."""
        await self._reply.begin(status, content_type, entity, retry_after)

    async def send(self, chunk: bytes) -> None:
        """Sends bytes now."""
        await self._reply.send(chunk)

    async def end(self) -> None:
        """Ends the body."""
        await self._reply.end()

    def limited(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Headers that the answer is to have."""
        self._reply.limited(headers)

    def status(self, error: PenstockError) -> int:
        """The HTTP status of an error."""
        return self._reply.status(error)

    async def whole(self, status: int, content_type: bytes, entity: str, body: bytes, retry_after: bytes = b"") -> None:
        """Sends a complete answer, as predictions unless it is an error."""
        told = predictions(body) if status == _OK else body
        await self._reply.whole(status, content_type, entity, told, retry_after)

    async def fail(self, error: PenstockError, usage: Usage) -> None:
        """Answers with an error."""
        await self._reply.fail(error, usage)
