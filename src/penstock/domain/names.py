"""Names in the catalogue: `catalog`, `catalog.schema`, `catalog.schema.model`. They fold case and are stored folded."""

import unicodedata
from dataclasses import dataclass
from typing import Self

from penstock.domain.errors import InvalidParameter

LEVEL_LIMIT = 255
LEVELS = 3
BYTES_LIMIT = 2048
"""Of a full name: what is looked up must fit into an index."""
_SEPARATORS = frozenset("./\\:@'\"`%?#")
_CONTROL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


def fold(name: str) -> str:
    """The form in which names are compared and stored; folding twice changes nothing more."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    # Case folding may leave a sequence that composes; composing may leave one that folds. Two rounds settle it.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold())


def check_level(value: str, field: str) -> str:
    r"""Returns one level of a name, folded.

    Raises InvalidParameter naming `field` unless it is 1 to 255 characters without spaces, control characters and any
    of `. / \ : @ ' " % ? #` or a backquote, which separate names in URLs, paths and filters.
    """
    folded = fold(value)
    if not 1 <= len(folded) <= LEVEL_LIMIT:
        raise InvalidParameter(f"{field} must be 1 to {LEVEL_LIMIT} characters long, but has {len(folded)}.")
    for sign in folded:
        if sign in _SEPARATORS or unicodedata.category(sign) in _CONTROL:
            raise InvalidParameter(
                f"{field} must not hold spaces, control characters or any of . / \\ : @ ' \" ` % ? #, "
                f"but is {value[:80]!r}."
            )
    return folded


@dataclass(frozen=True, slots=True, order=True)
class SchemaName:
    """A schema's name, folded and checked."""

    catalog: str
    schema: str

    @classmethod
    def parse(cls, value: str, field: str = "full_name") -> Self:
        """From `catalog.schema`; raises InvalidParameter naming `field`."""
        parts = value.split(".")
        if len(parts) != LEVELS - 1:
            raise InvalidParameter(f"{field} must be 'catalog.schema', but is {value[:200]!r}.")
        return cls.of(*parts)

    @classmethod
    def of(cls, catalog: str, schema: str) -> Self:
        """From its levels; raises InvalidParameter naming the level."""
        return cls(check_level(catalog, "catalog_name"), check_level(schema, "schema_name"))

    def __str__(self) -> str:
        return f"{self.catalog}.{self.schema}"


@dataclass(frozen=True, slots=True, order=True)
class ModelName:
    """A registered model's name, folded and checked."""

    catalog: str
    schema: str
    model: str

    @classmethod
    def parse(cls, value: str, field: str = "name") -> Self:
        """From `catalog.schema.model`; raises InvalidParameter naming `field`."""
        parts = value.split(".")
        if len(parts) != LEVELS or not all(parts):
            # Clients add a hint of their own to errors that say "specify all three levels".
            raise InvalidParameter(
                f"{field} {value[:200]!r} is not a model name: specify all three levels of the name, "
                "as in 'catalog.schema.model'."
            )
        return cls.of(*parts)

    @classmethod
    def of(cls, catalog: str, schema: str, model: str) -> Self:
        """From its levels; raises InvalidParameter naming the level, or if they are too long together."""
        made = cls(
            check_level(catalog, "catalog_name"), check_level(schema, "schema_name"), check_level(model, "model name")
        )
        if len(str(made).encode()) > BYTES_LIMIT:
            raise InvalidParameter(
                f"A model's full name must be at most {BYTES_LIMIT} bytes in UTF-8, but has {len(str(made).encode())}."
            )
        return made

    @property
    def parent(self) -> SchemaName:
        """The schema that holds the model."""
        return SchemaName(self.catalog, self.schema)

    def __str__(self) -> str:
        return f"{self.catalog}.{self.schema}.{self.model}"
