"""Panes of the train screen, one file each: state to lines of styled text."""
