"""Turns RunState into lines of styled text, one file per pane.

Needs no Textual; the time is an argument.
"""
