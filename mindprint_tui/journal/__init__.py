"""The journal as safe events, folded into the state of a run."""
