"""Chat messages to a prompt, by the model's own template, in a sandbox: templates come from strangers."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from penstock_engine.errors import CheckpointError
from penstock_engine.refusal import BadRequest
from penstock_engine.tokenizer import find, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Template, nodes
    from jinja2.parser import Parser

    from penstock_engine.checkpoint import ModelFolder

MAX_SOURCE = 512 * 1024
"""Characters of a template."""
MAX_PROMPT = 32 * 1024 * 1024
"""Characters of a rendered prompt."""
MAX_RANGE = 100_000
"""Numbers that one rendering may count through, all its ranges together."""
_MAX_REPEAT = 1_000_000
TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_turn|>", "<end_of_turn>")
"""Tokens that end a turn in families whose end token ends a whole text: not all configurations name them."""


class ChatTemplate:
    """A compiled template. Rendering is safe from several threads."""

    def __init__(self, source: str, names: Mapping[str, str], for_tools: str = "") -> None:
        """`names`: special tokens by their names, as `bos_token`. Raises CheckpointError if it is no template.

        `for_tools` is the template for chats with tools, if it is another one.
        """
        self._plain = _compiled(source)
        self._for_tools = _compiled(for_tools) if for_tools else self._plain
        self.source = for_tools or source
        """What is written in it, of tools too."""
        self._names = dict(names)
        self.turn_ends = tuple(name for name in TURN_ENDS if name in source)
        """Names of the tokens with which the template ends turns, so that an answer ends with one too."""

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        extra: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """The prompt that asks for the next answer. Raises BadRequest with the template's own words where it objects.

        `extra` are the request's `chat_template_kwargs`; they cannot replace messages or special tokens.
        """
        parts: list[str] = []
        size = 0
        values = {**(extra or {}), **self._names, "messages": messages, "add_generation_prompt": True}
        values = {"tools": None, "documents": None, **values, "range": _Range()}
        if tools is not None:
            values["tools"] = tools
        template = self._plain if tools is None else self._for_tools
        try:
            for part in template.generate(values):
                size += len(part)
                if size > MAX_PROMPT:
                    raise BadRequest(f"messages: the rendered prompt is longer than {MAX_PROMPT} characters")
                parts.append(part)
        except (TemplateError, TypeError, ValueError, KeyError, ArithmeticError, LookupError, RecursionError) as error:
            raise BadRequest(f"messages: the model's chat template refused them: {error}") from None
        return "".join(parts)


def load(folder: ModelFolder, config: Mapping[str, Any], names: Mapping[str, str]) -> ChatTemplate | None:
    """A model's template, from `chat_template.jinja` or from its tokenizer's configuration; None if it has none.

    Of several named templates the one called `default` is taken, else the first; for tools the one called `tool_use`.
    """
    file = find(folder, "chat_template.jinja")
    if file is not None:
        return ChatTemplate(file.read_text(), names)
    found = config.get("chat_template")
    if found is None:
        found = read_json(find(folder, "chat_template.json")).get("chat_template")
    for_tools = None
    if isinstance(found, list):
        by_name = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        found = by_name.get("default", next(iter(by_name.values()), None))
        for_tools = by_name.get("tool_use")
    return ChatTemplate(found, names, for_tools or "") if isinstance(found, str) else None


def _compiled(source: str) -> Template:
    if len(source) > MAX_SOURCE:
        raise CheckpointError(f"the chat template has {len(source)} characters; the limit is {MAX_SOURCE}")
    try:
        return _Sandbox().from_string(source)
    except TemplateError as error:
        raise CheckpointError(f"the chat template cannot be read: {error}") from None


class _Range:
    """`range` with a budget for a whole rendering, so that nested loops end."""

    def __init__(self) -> None:
        self._left = MAX_RANGE

    def __call__(self, *bounds: int) -> range:
        numbers = range(*bounds)
        self._left -= len(numbers)
        if self._left < 0:
            raise TemplateError(f"it counts through more than {MAX_RANGE} numbers")
        return numbers


class _Generation(Extension):
    """`{% generation %}` marks the assistant's part for training; its content is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own way to declare tags

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Sandbox(ImmutableSandboxedEnvironment):
    """What transformers offers to templates, with products of strings and powers bounded."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        self.filters["tojson"] = _to_json
        self.globals["raise_exception"] = _raise
        self.globals["strftime_now"] = _now

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse products that would fill the memory."""
        for one, other in ((left, right), (right, left)):
            long = isinstance(one, (str, bytes, list, tuple)) and isinstance(other, int)
            if operator == "*" and long and len(one) * other > _MAX_REPEAT:
                raise TemplateError(f"it repeats a text to more than {_MAX_REPEAT} characters")
        if operator == "**":
            raise TemplateError("it uses powers")
        return super().call_binop(context, operator, left, right)


def _raise(message: object) -> NoReturn:
    raise TemplateError(str(message))


def _now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes for HTML, which would change what the model reads."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
