"""A run's numbers as rows, and where they go."""
