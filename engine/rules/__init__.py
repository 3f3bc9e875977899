"""The rules that a run must hold, and what enforces them."""
