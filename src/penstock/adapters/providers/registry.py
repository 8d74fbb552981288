"""All providers as one, by the provider of the model that is asked."""

from collections.abc import Mapping

from penstock.domain.errors import ProviderFailed
from penstock.domain.external_forms import ProviderKind
from penstock.domain.external_model import ExternalModel
from penstock.ports.provider import Provider, ProviderAnswer, ProviderCall


class Providers:
    """See `penstock.ports.provider.Provider`."""

    def __init__(self, known: Mapping[ProviderKind, Provider]) -> None:
        self._known = known

    def problem(self, model: ExternalModel) -> str:
        """Also that there is no adapter for the provider."""
        provider = self._known.get(model.provider)
        if provider is None:
            known = ", ".join(sorted(self._known))
            return f"external_model.provider '{model.provider}' is not supported by this server yet; it has: {known}."
        return provider.problem(model)

    async def open(self, call: ProviderCall) -> ProviderAnswer:
        """Asks the model's provider."""
        provider = self._known.get(call.model.provider)
        if provider is None:
            raise ProviderFailed(self.problem(call.model))
        return await provider.open(call)
