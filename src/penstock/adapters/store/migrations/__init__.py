"""Changes of the schema, oldest first: files m0001_*.py and so on in `versions`, each with the revision before it."""

HEAD = "0023_traces"
"""The newest revision: a database that has it needs nothing done."""
