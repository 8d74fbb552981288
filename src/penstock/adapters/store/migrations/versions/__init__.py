"""One file a change. They are never edited once released; `tests/contract` checks that they lead to the tables."""
