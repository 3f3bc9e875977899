"""RunState -> lines of styled words: one file a pane; no Textual, and the time is an argument."""
