"""What the house needs from outside, one Protocol per file; docstrings are the contract."""
