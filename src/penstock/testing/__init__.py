"""Fakes of every port, for tests only."""
