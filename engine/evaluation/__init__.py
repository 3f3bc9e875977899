"""Evaluation: generates answers, scores them, and checks the scores."""
