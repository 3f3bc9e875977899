"""Answers, their scores, and the checks that the scores are true."""
