"""The journal: events, their encoding as lines, the append-only files, the log for grep."""
