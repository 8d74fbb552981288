"""Clients of the providers of external models."""
