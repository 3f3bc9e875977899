"""Tells a person what happens in a run: by ntfy, webhook, Apprise, a command or the desktop."""
