"""Texts that the base model writes: the questions of passages, and answers to be rejected."""
