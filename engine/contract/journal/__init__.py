"""The journal: every event, its line of bytes, the append-only files, the greppable log."""
