"""The endpoint that `mindprint-tui serve` opens: who may ask, and how mlx-lm answers with a run's model."""
