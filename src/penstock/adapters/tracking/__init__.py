"""MLflow's tracking server as a process beside ours."""
