"""What a run made, as other programs read it."""
