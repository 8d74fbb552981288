"""Penstock: a model serving platform that sells tokens per second and keeps its word."""
