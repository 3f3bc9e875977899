"""Engines and other child processes: how they are started and how they ended."""
