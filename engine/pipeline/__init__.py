"""The pipeline of a run: set-up, topics, decisions, resuming and the final summary."""
