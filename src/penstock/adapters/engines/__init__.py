"""Launch recipes and wire clients of inference engines."""
