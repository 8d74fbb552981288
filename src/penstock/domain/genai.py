"""What OpenTelemetry's conventions for generative AI call things."""

from penstock.domain.external_forms import OpenAiType, ProviderKind, openai_type
from penstock.domain.external_model import ExternalModel
from penstock.domain.model import Task

OURS = "penstock"
"""Who provides models that run here."""
OPERATIONS = {Task.CHAT: "chat", Task.COMPLETIONS: "text_completion", Task.EMBEDDINGS: "embeddings"}
_PROVIDERS = {
    ProviderKind.OPENAI: "openai",
    ProviderKind.ANTHROPIC: "anthropic",
    ProviderKind.COHERE: "cohere",
    ProviderKind.AMAZON_BEDROCK: "aws.bedrock",
    ProviderKind.GOOGLE_VERTEX: "gcp.vertex_ai",
}
_AZURE = "azure.ai.openai"


def provider_of(model: ExternalModel) -> str:
    """The provider's name there; ours where the conventions have none."""
    if model.provider is ProviderKind.OPENAI and openai_type(model.fields) is not OpenAiType.OPENAI:
        return _AZURE
    return _PROVIDERS.get(model.provider, model.provider.value)
