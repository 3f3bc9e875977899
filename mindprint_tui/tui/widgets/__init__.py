"""What draws lines on the screen; it takes values and knows nothing of runs."""
