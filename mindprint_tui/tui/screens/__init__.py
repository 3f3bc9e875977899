"""Screens, one file each: they show lines from view in widgets and turn keys into commands."""
