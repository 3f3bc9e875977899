"""One file a pane: the state as lines of styled words."""
