"""What the engine and its readers agree on: configuration, events, commands and the layout of a run folder."""
