"""Rows from files to topics: sources, curriculum, hold-out, chat template, batches."""
