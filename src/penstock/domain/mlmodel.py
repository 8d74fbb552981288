"""MLmodel, as MLflow would have written it: what is to be done with its files is not in a checkpoint."""

from penstock.domain.model import Task

FOLDER = "model"
"""Where the checkpoint is, beside MLmodel."""


def mlmodel(task: Task, repository: str, source: str, licence: str) -> dict[str, object]:
    """The document for a checkpoint of a repository."""
    return {
        "flavors": {
            "transformers": {
                "task": "feature-extraction" if task is Task.EMBEDDINGS else "text-generation",
                "inference_task": task.value,
                "model_binary": FOLDER,
                "source_model_name": repository,
            }
        },
        "metadata": {"task": task.value, "source": source, "licence": licence},
    }
