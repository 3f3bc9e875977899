"""Intake of a person's own texts: read from the files that people have, for the workbook of `mindprint-tui new`."""
