"""The catalogue of foundation models, and the shelf of what was brought of it."""
