"""A word as a vector: of itself, and of itself in its sentence."""
