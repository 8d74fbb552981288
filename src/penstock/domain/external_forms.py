"""What each provider of external models is told: the fields of its configuration, as data.

A field of a nested object is named with a dot. A secret's field has a twin `<field>_plaintext`, which takes the secret
itself where the field takes a reference to one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from penstock.domain.errors import InvalidParameter
from penstock.domain.model import Task


class ProviderKind(StrEnum):
    """Who hosts an external model."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    COHERE = "cohere"
    AI21LABS = "ai21labs"
    AMAZON_BEDROCK = "amazon-bedrock"
    GOOGLE_VERTEX = "google-cloud-vertex-ai"
    DATABRICKS = "databricks-model-serving"
    PALM = "palm"
    CUSTOM = "custom"


class OpenAiType(StrEnum):
    """Whose OpenAI it is: OpenAI's own, Azure's with a key, or Azure's with Microsoft Entra ID."""

    OPENAI = "openai"
    AZURE = "azure"
    AZUREAD = "azuread"


@dataclass(frozen=True, slots=True)
class Form:
    """A provider's configuration: its object's name, its fields, and the ways to authenticate, of which one is given.

    `urls` are the fields that hold a base URL; those that end in `api_base` are not required.
    """

    key: str
    tasks: tuple[Task, ...]
    auths: tuple[tuple[str, ...], ...]
    secrets: frozenset[str]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    @property
    def plain(self) -> frozenset[str]:
        """Every field that is no secret."""
        named = (*self.required, *self.optional, *(field for auth in self.auths for field in auth))
        return frozenset(named) - self.secrets


_ALL = (Task.CHAT, Task.COMPLETIONS, Task.EMBEDDINGS)
_ENTRA = ("microsoft_entra_tenant_id", "microsoft_entra_client_id", "microsoft_entra_client_secret")
_AZURE = ("openai_api_base", "openai_deployment_name", "openai_api_version")


def _keyed(key: str, secret: str, tasks: tuple[Task, ...], *required: str, base: str = "") -> Form:
    """A form with one secret, and with a base URL of its own where `base` names its field."""
    optional = (base,) if base else ()
    return Form(key, tasks, ((secret,),), frozenset({secret}), required, optional, optional)


_OPENAI = {
    OpenAiType.OPENAI: Form(
        "openai_config",
        _ALL,
        (("openai_api_key",),),
        frozenset({"openai_api_key"}),
        optional=("openai_api_type", "openai_api_base", "openai_organization"),
        urls=("openai_api_base",),
    ),
    OpenAiType.AZURE: Form(
        "openai_config",
        _ALL,
        (("openai_api_key",),),
        frozenset({"openai_api_key"}),
        ("openai_api_type", *_AZURE),
        ("openai_organization",),
        ("openai_api_base",),
    ),
    OpenAiType.AZUREAD: Form(
        "openai_config",
        _ALL,
        (_ENTRA,),
        frozenset({"microsoft_entra_client_secret"}),
        ("openai_api_type", *_AZURE),
        ("openai_organization", "microsoft_entra_authority"),
        ("openai_api_base", "microsoft_entra_authority"),
    ),
}
_FORMS = {
    ProviderKind.ANTHROPIC: _keyed(
        "anthropic_config", "anthropic_api_key", (Task.CHAT, Task.COMPLETIONS), base="anthropic_api_base"
    ),
    ProviderKind.COHERE: _keyed("cohere_config", "cohere_api_key", _ALL, base="cohere_api_base"),
    ProviderKind.AI21LABS: _keyed(
        "ai21labs_config", "ai21labs_api_key", (Task.CHAT, Task.COMPLETIONS), base="ai21labs_api_base"
    ),
    ProviderKind.AMAZON_BEDROCK: Form(
        "amazon_bedrock_config",
        _ALL,
        (
            ("aws_access_key_id", "aws_secret_access_key"),
            ("instance_profile_arn",),
            ("uc_service_credential_name",),
        ),
        frozenset({"aws_access_key_id", "aws_secret_access_key"}),
        ("aws_region", "bedrock_provider"),
        ("amazon_bedrock_api_base",),
        ("amazon_bedrock_api_base",),
    ),
    ProviderKind.GOOGLE_VERTEX: _keyed(
        "google_cloud_vertex_ai_config", "private_key", _ALL, "project_id", "region", base="vertex_ai_api_base"
    ),
    ProviderKind.DATABRICKS: Form(
        "databricks_model_serving_config",
        _ALL,
        (("databricks_api_token",),),
        frozenset({"databricks_api_token"}),
        ("databricks_workspace_url",),
        urls=("databricks_workspace_url",),
    ),
    ProviderKind.PALM: _keyed("palm_config", "palm_api_key", _ALL),
    ProviderKind.CUSTOM: Form(
        "custom_provider_config",
        _ALL,
        (("api_key_auth.key", "api_key_auth.value"), ("bearer_token_auth.token",)),
        frozenset({"api_key_auth.value", "bearer_token_auth.token"}),
        ("custom_provider_url",),
        urls=("custom_provider_url",),
    ),
}
CONFIG_KEYS = frozenset({"openai_config", *(form.key for form in _FORMS.values())})
"""The names of all configuration objects."""
CHOICES = {
    "bedrock_provider": ("ai21labs", "amazon", "anthropic", "cohere"),
    "openai_api_type": tuple(kind.value for kind in OpenAiType),
}
"""Fields that take one of a few values, in whatever case."""


def config_key(provider: ProviderKind) -> str:
    """The name of a provider's configuration object."""
    return "openai_config" if provider is ProviderKind.OPENAI else _FORMS[provider].key


def form_of(provider: ProviderKind, fields: Mapping[str, str]) -> Form:
    """The form of a provider; for OpenAI that of its type, which `fields` say."""
    if provider is not ProviderKind.OPENAI:
        return _FORMS[provider]
    return _OPENAI[openai_type(fields)]


def openai_type(fields: Mapping[str, str]) -> OpenAiType:
    """Whose OpenAI it is; raises InvalidParameter for a type that there is not."""
    given = fields.get("openai_api_type", OpenAiType.OPENAI)
    try:
        return OpenAiType(given.lower())
    except ValueError:
        known = ", ".join(OpenAiType)
        raise InvalidParameter(
            f"openai_config.openai_api_type must be one of {known}, but is '{given[:80]}'."
        ) from None
