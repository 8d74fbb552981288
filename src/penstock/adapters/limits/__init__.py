"""Where several gateways keep what they share of rate limits."""
