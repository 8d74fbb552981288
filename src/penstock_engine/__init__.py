"""The CPU engine: a worker process that serves one model version over OpenAI-wire HTTP."""
