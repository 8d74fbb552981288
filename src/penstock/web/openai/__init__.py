"""The data plane's wire formats."""
