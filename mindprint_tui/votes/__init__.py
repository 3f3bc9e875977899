"""A person's votes on pairs of answers: what is asked, how it is kept, and what it says about the score."""
