"""The parts of the score, learned from a person's own texts, and how one answer is scored with them."""
