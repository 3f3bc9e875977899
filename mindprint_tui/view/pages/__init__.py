"""Pages, one file each: answers, runs, preflight, comparison, scores and first screen."""
