"""Starts engines and other child processes, and reports how they ended."""
