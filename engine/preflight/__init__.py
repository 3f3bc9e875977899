"""What is known before training: token counts, reachable gates, time and memory."""
