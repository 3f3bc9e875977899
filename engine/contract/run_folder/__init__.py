"""A run's folder: its paths, its lock, its commands, and files that are written whole."""
