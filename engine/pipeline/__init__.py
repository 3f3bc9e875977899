"""A run from set-up to verdict."""
