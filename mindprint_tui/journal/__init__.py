"""Reads the journal as sanitized events and folds them into the state of a run."""
