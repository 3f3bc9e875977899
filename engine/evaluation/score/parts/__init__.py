"""The measured parts of a score, one file each: style, closeness, likelihood, familiarity, health, void."""
