"""The rules that a run must keep, and the code that enforces them."""
