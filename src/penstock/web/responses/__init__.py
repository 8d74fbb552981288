"""OpenAI's Responses API, spoken on chat endpoints."""
