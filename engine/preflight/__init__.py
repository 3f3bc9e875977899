"""Checks and estimates before training: token counts, reachable gates, time and memory."""
