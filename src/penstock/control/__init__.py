"""Use cases write what is wanted; loops make it so."""
