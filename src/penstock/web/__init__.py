"""HTTP: wire formats and routes."""
