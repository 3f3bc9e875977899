"""Held-out rows: which are held out, and whether their text is in the training rows, too."""
