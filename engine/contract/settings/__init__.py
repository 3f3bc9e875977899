"""A run's configuration: the typed settings, their YAML file, and keys of other programs."""
