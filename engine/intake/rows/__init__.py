"""Rows of a person's texts: conversations, passages, private data, languages, and remarks for the review."""
