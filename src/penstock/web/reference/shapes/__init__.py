"""Answers as types: the description of the API is made of them, and tests compare them with what comes."""
