"""Translation, and every other transduction of one line into another."""
