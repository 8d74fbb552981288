"""Encryption of secrets, and the keys for it."""
