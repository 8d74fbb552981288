"""Wires external models: the providers' clients, and what asks and checks them."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from penstock.adapters.providers.ai21 import Ai21
from penstock.adapters.providers.anthropic import Anthropic
from penstock.adapters.providers.bedrock import Bedrock
from penstock.adapters.providers.cohere import Cohere
from penstock.adapters.providers.entra import EntraTokens
from penstock.adapters.providers.openai_wire import OpenAiWire
from penstock.adapters.providers.registry import Providers
from penstock.adapters.providers.vertex import Vertex
from penstock.adapters.providers.wire import Patience, Wire
from penstock.control.external_models import ExternalModels
from penstock.control.secrets import Secrets
from penstock.domain.external_forms import ProviderKind
from penstock.gateway.abroad import Abroad
from penstock.ports.clock import Clock
from penstock.ports.provider import Provider
from penstock.settings import Settings


@dataclass(frozen=True, slots=True)
class ExternalParts:
    """What the control plane checks external models with, and what the data plane asks them with."""

    models: ExternalModels
    abroad: Abroad


def make_external(settings: Settings, secrets: Secrets, clock: Clock, stack: AsyncExitStack) -> ExternalParts:
    """Both, over one set of clients; must be called while the event loop runs."""
    given = settings.external
    patience = Patience(given.connect_s, given.silence_s, given.total_s)
    wire = Wire(patience, allow_private=given.allow_private_addresses)
    stack.push_async_callback(wire.close)
    providers = Providers(_providers(wire, clock, allow_private=given.allow_private_addresses))
    models = ExternalModels(secrets, providers, strict=settings.gateway.strict)
    return ExternalParts(models, Abroad(providers, secrets))


def _providers(wire: Wire, clock: Clock, *, allow_private: bool) -> dict[ProviderKind, Provider]:
    openai = OpenAiWire(wire, EntraTokens(wire, clock), allow_private=allow_private)
    return {
        ProviderKind.OPENAI: openai,
        ProviderKind.DATABRICKS: openai,
        ProviderKind.CUSTOM: openai,
        ProviderKind.ANTHROPIC: Anthropic(wire, clock, allow_private=allow_private),
        ProviderKind.COHERE: Cohere(wire, clock, allow_private=allow_private),
        ProviderKind.AI21LABS: Ai21(wire, clock, allow_private=allow_private),
        ProviderKind.AMAZON_BEDROCK: Bedrock(wire, clock, allow_private=allow_private),
        ProviderKind.GOOGLE_VERTEX: Vertex(wire, clock, allow_private=allow_private),
    }
