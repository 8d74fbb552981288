"""The gateway in front of other people's models, against LiteLLM's proxy and nginx. A program, not a package."""
