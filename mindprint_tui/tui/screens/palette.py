"""Command palette: finds the actions of a screen by the words of their help."""

from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from mindprint_tui.keys import Key, keys_of
from mindprint_tui.tui.screens.base import BaseScreen


class KeyCommands(Provider):
    """Offers the actions of the open screen."""

    def _keys(self) -> list[Key]:
        screen = self.screen
        keys = keys_of(screen.NAME) if isinstance(screen, BaseScreen) else []
        return [key for key in keys if "(" not in key.action and key.action != "pane"]

    async def discover(self) -> Hits:
        for key in self._keys():
            yield DiscoveryHit(key.help, partial(self.screen.run_action, key.action), help=f"key {key.shown}")

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for key in self._keys():
            if (score := matcher.match(key.help)) > 0:
                run = partial(self.screen.run_action, key.action)
                yield Hit(score, matcher.highlight(key.help), run, help=f"key {key.shown}")
