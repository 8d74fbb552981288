"""The Hugging Face Hub's shop window, or that of a mirror which has one."""

from collections.abc import Sequence

from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
from huggingface_hub.hf_api import ModelInfo

from penstock.adapters.hub.huggingface import HuggingFaceHub
from penstock.domain.market import Listing, Query
from penstock.domain.model import Task
from penstock.ports.hub import Snapshot

_PIPELINES = {
    Task.CHAT: "text-generation",
    Task.COMPLETIONS: "text-generation",
    Task.EMBEDDINGS: "feature-extraction",
}


class HuggingFaceMarket(HuggingFaceHub):
    """See `penstock.ports.market.Market`."""

    def search(self, query: Query) -> Sequence[Listing]:
        """By the hub's own filters."""
        tags = ["safetensors"]
        if query.family:
            tags.append(query.family)
        if query.licence:
            tags.append(f"license:{query.licence}")
        if query.task is Task.CHAT:
            tags.append("conversational")
        bounds = [f"{name}:{value}" for name, value in (("min", query.least), ("max", query.most)) if value]
        with self._told("this search"):
            found = HfApi(endpoint=self._endpoint, token=self._token).list_models(
                filter=tags,
                search=query.text or None,
                pipeline_tag=_PIPELINES[query.task] if query.task is not None else None,
                num_parameters=",".join(bounds) or None,
                sort="downloads",
                limit=query.limit,
                expand=["downloads", "gated", "pipeline_tag", "tags", "config", "safetensors", "lastModified"],
            )
            return [self._listing(one) for one in found]

    def describe(self, repository: str, revision: str) -> tuple[Listing, Snapshot]:
        """Asks once for both."""
        with self._told(repository):
            api = HfApi(endpoint=self._endpoint, token=self._token)
            info = api.model_info(repository, revision=revision, files_metadata=True)
            return self._listing(info), self._snapshot(repository, revision, info)

    def check_access(self, snapshot: Snapshot) -> None:
        """Asks for the first file's head."""
        with self._told(snapshot.repository):
            path = next((file.path for file in snapshot.files if file.path == "config.json"), "README.md")
            url = hf_hub_url(snapshot.repository, path, revision=snapshot.commit, endpoint=self._endpoint)
            get_hf_file_metadata(url, token=self._token, endpoint=self._endpoint)

    def _listing(self, info: ModelInfo) -> Listing:
        tags = info.tags or []
        licence = next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), "")
        config = info.config if isinstance(info.config, dict) else {}
        return Listing(
            source=self._endpoint,
            repository=info.id,
            family=str(config.get("model_type") or ""),
            pipeline=info.pipeline_tag or "",
            licence=licence,
            parameters=info.safetensors.total if info.safetensors is not None else 0,
            downloads=info.downloads or 0,
            gated=bool(info.gated),
            changed_at=info.last_modified.date().isoformat() if info.last_modified is not None else "",
        )
