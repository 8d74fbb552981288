"""What asking has in common for all providers: names in sentences, secrets for headers, what is refused."""

from penstock.domain.addresses import names_private_host
from penstock.domain.errors import ProviderFailed
from penstock.domain.external_model import ExternalModel
from penstock.domain.model import Task
from penstock.ports.provider import ProviderCall

OURS = ("client_request_id", "usage_context")
"""Fields of a body that are for the platform, and that others refuse."""


def who_is(model: ExternalModel) -> str:
    """A model's provider, at the beginning of a sentence."""
    return f"Provider '{model.provider}'"


def secret_of(call: ProviderCall, field: str) -> str:
    """A secret for a header, without the line end that files of secrets often have. Raises ProviderFailed."""
    value = call.secrets[field].reveal().strip()
    if not value.isascii() or not value.isprintable():
        raise ProviderFailed(f"The secret in {field} holds characters that no header may have.")
    return value


def bearer(call: ProviderCall, field: str) -> dict[str, str]:
    """The header that most providers want a secret in."""
    return {"authorization": f"Bearer {secret_of(call, field)}"}


def no_completions(model: ExternalModel, *left: Task) -> str:
    """Why completions are refused where only the tasks that are `left` still have models; empty for other tasks."""
    if model.task is not Task.COMPLETIONS:
        return ""
    return (
        f"external_model.task of provider '{model.provider}' must be {' or '.join(left)}, but is {model.task}: "
        "the models of its completions were retired."
    )


def traced(call: ProviderCall) -> dict[str, str]:
    """The headers of the trace that the call is part of, if of any."""
    return dict(call.trace.headers) if call.trace is not None else {}


def address_problem(model: ExternalModel, *, allow_private: bool) -> str:
    """Why an address of the configuration is refused, empty if none is; names are looked up when they are asked."""
    for field in model.form.urls:
        url = model.fields.get(field)
        if url is not None and not allow_private and names_private_host(url):
            return (
                f"{model.form.key}.{field} is an address of a private network. "
                "The setting external.allow_private_addresses allows that."
            )
    return ""
