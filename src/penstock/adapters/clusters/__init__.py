"""Where engine processes run."""
