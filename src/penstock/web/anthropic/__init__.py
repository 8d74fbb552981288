"""Anthropic's Messages API, spoken on chat endpoints."""
