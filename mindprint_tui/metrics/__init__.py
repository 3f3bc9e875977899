"""Metrics of a run as rows, and the sinks that receive them."""
