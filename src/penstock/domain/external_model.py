"""An external model: a model that a provider hosts elsewhere, served behind an endpoint of ours."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from penstock.domain.errors import InvalidParameter
from penstock.domain.external_forms import CHOICES, Form, ProviderKind, config_key, form_of
from penstock.domain.model import Task
from penstock.domain.secret import Hidden, SecretRef
from penstock.domain.served_entity import NAME_LIMIT

PLAINTEXT = "_plaintext"
MAX_FIELD = 2048
MAX_MODEL_NAME = 256
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OWN_HEADERS = frozenset(
    {"host", "content-length", "content-type", "connection", "transfer-encoding", "accept-encoding"}
)


@dataclass(frozen=True, slots=True)
class ExternalModel:
    """A provider's model with what it takes to ask it. `name` is the provider's own name for it.

    `fields` and `secrets` are the provider's configuration, by field (`penstock.domain.external_forms`). A secret that
    was given itself is `Hidden` until it is planted; what is stored has references only.
    """

    name: str
    provider: ProviderKind
    task: Task
    fields: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretRef | Hidden] = field(default_factory=dict)

    @property
    def refs(self) -> dict[str, SecretRef]:
        """The secrets that are referred to, by field."""
        return {name: value for name, value in self.secrets.items() if isinstance(value, SecretRef)}

    @property
    def form(self) -> Form:
        """The form that its configuration is of."""
        return form_of(self.provider, self.fields)

    def planted(self, refs: Mapping[str, SecretRef]) -> "ExternalModel":
        """With references in place of secrets that were given themselves."""
        return replace(self, secrets={**self.secrets, **refs})


@dataclass(frozen=True, slots=True)
class ExternalEntity:
    """A served entity that is an external model. Its secrets are read in the name of `reader`, a principal."""

    name: str
    model: ExternalModel
    reader: str = ""


def default_name(model: str) -> str:
    """The name of a served entity that was given none: the model's, with - for what names may not hold."""
    return _FORBIDDEN.sub("-", model)[:NAME_LIMIT]


def read_model(name: str, provider: str, task: str, configs: Mapping[str, Mapping[str, object]]) -> ExternalModel:
    """An external model as asked for; `configs` are the configuration objects that were given, by name.

    Raises InvalidParameter naming the field and its rule; no message holds what might be a secret.
    """
    if not name or len(name) > MAX_MODEL_NAME or not name.isprintable():
        raise InvalidParameter(f"external_model.name must have 1 to {MAX_MODEL_NAME} printable characters.")
    who = _provider(provider)
    key = config_key(who)
    others = sorted(set(configs) - {key})
    if others:
        raise InvalidParameter(f"external_model of provider '{who}' must not have {others[0]}: its object is {key}.")
    if key not in configs:
        raise InvalidParameter(f"external_model.{key} must be given for provider '{who}'.")
    fields, secrets = _read(who, configs[key])
    model = ExternalModel(name, who, _task(who, task), fields, secrets)
    if model.task not in model.form.tasks:
        allowed = ", ".join(model.form.tasks)
        raise InvalidParameter(f"external_model.task of provider '{who}' must be one of {allowed}, but is {task}.")
    if who is ProviderKind.PALM:
        raise InvalidParameter(
            "external_model.provider 'palm' cannot be served: its API was shut down. Use google-cloud-vertex-ai."
        )
    return model


def _provider(text: str) -> ProviderKind:
    try:
        return ProviderKind(text)
    except ValueError:
        known = ", ".join(ProviderKind)
        raise InvalidParameter(f"external_model.provider must be one of {known}, but is '{text[:80]}'.") from None


def _task(provider: ProviderKind, text: str) -> Task:
    try:
        return Task(text)
    except ValueError:
        known = ", ".join(Task)
        raise InvalidParameter(
            f"external_model.task of provider '{provider}' must be one of {known}, but is '{text[:80]}'."
        ) from None


def _read(provider: ProviderKind, config: Mapping[str, object]) -> tuple[dict[str, str], dict[str, SecretRef | Hidden]]:
    given = dict(_flat(provider, config))
    form = form_of(provider, given)
    fields: dict[str, str] = {}
    secrets: dict[str, SecretRef | Hidden] = {}
    for name, value in given.items():
        where, base = f"{form.key}.{name}", name.removesuffix(PLAINTEXT)
        if base in form.secrets:
            if base in secrets:
                raise InvalidParameter(f"Give {form.key}.{base} or {form.key}.{base}{PLAINTEXT}, not both.")
            secrets[base] = SecretRef.parse(value, where) if name == base else Hidden(value)
        elif name in form.plain:
            fields[name] = _checked(form, name, value)
        else:
            known = ", ".join(sorted(form.plain | form.secrets))
            raise InvalidParameter(f"{where[:120]} is not a field of this provider; there are: {known}.")
    _check_complete(form, {*fields, *secrets})
    return fields, secrets


def _flat(provider: ProviderKind, config: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The fields that say something; those of objects inside with a dot."""
    for name, value in config.items():
        if value is None or value == "":
            continue
        if isinstance(value, Mapping) and not prefix:
            yield from _flat(provider, value, f"{name}.")
        elif isinstance(value, str):
            yield prefix + name, value
        else:
            raise InvalidParameter(f"{config_key(provider)}.{prefix}{name} must be a text.")


def _checked(form: Form, name: str, value: str) -> str:
    where = f"{form.key}.{name}"
    if len(value) > MAX_FIELD or not value.isprintable():
        raise InvalidParameter(f"{where} must have at most {MAX_FIELD} printable characters.")
    if name in CHOICES and value.lower() not in CHOICES[name]:
        raise InvalidParameter(f"{where} must be one of {', '.join(CHOICES[name])}, but is '{value[:80]}'.")
    if name in form.urls:
        check_url(value, where)
    if name == "api_key_auth.key" and (not _HEADER.fullmatch(value) or value.lower() in _OWN_HEADERS):
        raise InvalidParameter(f"{where} must be the name of a header that the request may carry.")
    return value


def _check_complete(form: Form, given: set[str]) -> None:
    for name in form.required:
        if name not in given:
            raise InvalidParameter(f"{form.key}.{name} must be given.")
    begun = [auth for auth in form.auths if given.intersection(auth)]
    if len(begun) != 1:
        ways = "; or ".join(" and ".join(_named(form, name) for name in auth) for auth in form.auths)
        raise InvalidParameter(f"{form.key} must have exactly one way to authenticate: {ways}.")
    for name in begun[0]:
        if name not in given:
            raise InvalidParameter(f"{form.key}.{_named(form, name)} must be given.")


def _named(form: Form, name: str) -> str:
    return f"{name} (or {name}{PLAINTEXT})" if name in form.secrets else name


def check_url(value: str, field_name: str) -> str:
    """Returns the base URL, or raises InvalidParameter: http or https, a host, and no user, query or fragment."""
    try:
        parts = urlsplit(value)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.username is not None or parts.query or parts.fragment or " " in value:
        raise InvalidParameter(
            f"{field_name} must be a URL such as https://host/path, without a user, a query or a fragment."
        )
    return value


def nested(flat: Mapping[str, str]) -> dict[str, object]:
    """Fields as a configuration object has them: those with a dot inside objects of their own."""
    found: dict[str, object] = {}
    for name, value in flat.items():
        outer, _, inner = name.partition(".")
        if inner:
            inside = found.setdefault(outer, {})
            assert isinstance(inside, dict)
            inside[inner] = value
        else:
            found[name] = value
    return found
