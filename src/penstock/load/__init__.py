"""The load generator: a client program that speaks HTTP only. `runner.run` is its door."""
