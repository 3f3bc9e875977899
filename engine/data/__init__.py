"""Training data, from files to topics: sources, curriculum, held-out rows, chat template, batches."""
