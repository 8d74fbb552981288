"""Where another program keeps its tables beside ours."""

import pytest

from penstock.adapters.store.companion import companion_url


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("sqlite:////data/penstock.db", "sqlite:////data/mlflow/mlflow.db"),
        ("postgresql://u:p%40@h:5/d", "postgresql+psycopg2://u:p%40@h:5/d?options=-csearch_path%3Dmlflow"),
        (
            "postgresql://u@h/d?sslmode=require",
            "postgresql+psycopg2://u@h/d?options=-csearch_path%3Dmlflow&sslmode=require",
        ),
    ],
)
def test_it_is_a_file_or_a_schema_of_its_own(ours: str, theirs: str):
    assert companion_url(ours, "mlflow", "/data/mlflow/mlflow.db") == theirs
