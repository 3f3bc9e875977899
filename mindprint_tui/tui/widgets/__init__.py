"""Widgets that draw styled lines; they know nothing of runs."""
