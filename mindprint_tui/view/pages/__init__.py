"""One file a page: answers, runs, preflight, comparison."""
