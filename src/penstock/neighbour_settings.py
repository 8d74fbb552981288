"""Settings of what the server works with beside its own parts: providers, MLflow, a mail server."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

GROUP = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
"""How every group of settings is read."""


class ExternalSettings(BaseModel):
    """External models; docs/external-models.md says what they are."""

    model_config = GROUP

    allow_private_addresses: bool = Field(default=False)
    """Let external models be at addresses of private networks and of this machine. Who may make endpoints could then
    reach what only this machine reaches."""
    connect_s: float = Field(default=5, gt=0)
    """Longest time for a connection to a provider, in seconds."""
    silence_s: float = Field(default=300, gt=0)
    """Longest time until a provider's answer begins, and between two parts of it, in seconds."""
    total_s: float = Field(default=597, gt=0)
    """Longest time for a whole answer of a provider, in seconds."""


class MlflowSettings(BaseModel):
    """MLflow's tracking server beside ours; docs/mlflow.md. It is started when it is first asked."""

    model_config = GROUP

    python: str = Field(default="")
    """Python interpreter that has MLflow. Empty: the server's own, with penstock[mlflow]."""
    start_timeout_s: float = Field(default=100, gt=0)
    """Longest time for it to start, in seconds. Clients wait meanwhile, two minutes unless they are told otherwise."""


class MailSettings(BaseModel):
    """The mail server that notifications of endpoints' updates are sent by."""

    model_config = GROUP

    host: str = Field(default="")
    """Name or address of the SMTP server. Empty: nothing is mailed, and the log has who would have been told."""
    port: int = Field(default=587, ge=1, le=65535)
    """Its port."""
    security: Literal["starttls", "tls", "none"] = Field(default="starttls")
    """How the connection is protected: STARTTLS (usual on port 587), TLS from the start (465), or not at all (25)."""
    user: str = Field(default="")
    """Name to log in with. Empty: no login."""
    password: SecretStr | None = Field(default=None)
    """Password to log in with. Better set in the environment than in a file."""
    sender: str = Field(default="penstock@localhost", pattern=r"^[^\s@]+@[^\s@]+$")
    """Address that letters come from."""
    timeout_s: float = Field(default=30, gt=0)
    """Longest time that the server may take for each step, in seconds."""


class MarketplaceSettings(BaseModel):
    """Hubs that models are installed from; docs/marketplace.md."""

    model_config = GROUP

    hubs: str = Field(default="")
    """Addresses of hubs, separated by spaces, the first being the one that is meant where none is said. Empty: that of
    HF_ENDPOINT, which is https://huggingface.co unless it is set."""
    token: SecretStr | None = Field(default=None)
    """Token for the hubs, of an account that accepted the licences of what is to be installed. Without it, HF_TOKEN."""
