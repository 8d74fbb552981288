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


class VllmSettings(BaseModel):
    """vLLM, which serves models on GPUs; docs/engines.md says how its environment is made."""

    model_config = GROUP

    python: str = Field(default="")
    """Python interpreter of an environment that has vLLM. Empty: GPUs are not used, and all is served by the CPU
    engine."""
    older_python: str = Field(default="")
    """One that has an older vLLM, for models that the newer one does not serve any more (MPT up to 0.28)."""
    on_cpu: bool = Field(default=False)
    """vLLM is a build for CPUs: let it serve on these, before the CPU engine, and use no GPU."""
    gpus_per_device: int = Field(default=1, ge=1)
    """GPUs that compute together as one device (tensor parallel); each replica runs on one device."""
    max_running: int = Field(default=128, ge=2)
    """Most requests that run at a time in one replica. Its KV cache holds half as many reference requests."""
    adapters: int = Field(default=0, ge=0)
    """Most LoRA adapters that are computed at a time in one replica. 0: none are taken."""
    adapter_rank: int = Field(default=16, ge=1, le=512)
    """Highest rank of LoRA adapters."""
    sleeping: int = Field(default=0, ge=0)
    """Most engines on GPUs that sleep when they are scaled to zero, their weights in the machine's memory, instead of
    ending. 0: none do."""
