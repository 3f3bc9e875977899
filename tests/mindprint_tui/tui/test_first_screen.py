"""The first screen: what `mindprint-tui` shows if nothing was named, in a terminal and without one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from golden import shown, until
from terminal import Terminal

from engine.contract.run_folder.folder import RunDir
from mindprint_tui.process.run_folder import shipped_configs
from mindprint_tui.tui.app import MindprintApp
from mindprint_tui.tui.screens.first import FirstScreen
from mindprint_tui.tui.screens.runs import RunsScreen
from mindprint_tui.tui.screens.train import TrainScreen
from mindprint_tui.view.pages.first import choices

PROGRAM = str(Path(sys.executable).with_name("mindprint-tui"))
Story = Callable[[str], RunDir]


def test_an_empty_folder_gets_a_first_screen_and_nothing_is_trained(tmp_path: Path) -> None:
    with Terminal([PROGRAM], cwd=str(tmp_path)) as terminal:
        terminal.wait("Train the quick demonstration")
        assert "mindprint-tui configs/quick.yaml" in terminal.text and "There are no runs in logs yet" in terminal.text
        terminal.type("q")
        assert terminal.ended(60) == 0
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_it_is_text_and_status_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stdout) == (2, "")
    head, *lines = done.stderr.splitlines()
    assert head == "nothing was named to train, and there is no terminal to ask on. To begin:"
    assert [line.split("  ")[1] for line in lines[:3]] == [
        "mindprint-tui --no-ui configs/quick.yaml",
        "mindprint-tui --no-ui configs/demo.yaml",
        "mindprint-tui attach",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("keys", "name"), [(("enter",), "quick.yaml"), (("down", "enter"), "demo.yaml")])
async def test_enter_trains_the_chosen_demonstration(story: Story, keys: tuple[str, ...], name: str) -> None:
    begun: list[Path] = []

    def start(config: Path) -> RunDir:
        begun.append(config)
        return story("happy")

    app = MindprintApp(None, Path("logs"), start_config=start, first=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*keys)
        await until(pilot, lambda: isinstance(app.screen, TrainScreen) and app.run_dir is not None)
    assert [path.name for path in begun] == [name]


async def test_its_last_line_lists_the_runs_and_escape_comes_back(story: Story) -> None:
    story("happy")
    app = MindprintApp(None, Path("logs"), first=True)
    async with app.run_test(size=(80, 24)) as pilot:
        assert isinstance(app.screen, FirstScreen) and "1 run in logs" in shown(app, "body")
        await pilot.press("end", "enter")
        assert isinstance(app.screen, RunsScreen)
        await pilot.press("escape")
        assert isinstance(app.screen, FirstScreen)


async def test_a_click_chooses_and_another_one_begins(story: Story) -> None:
    story("happy")
    app = MindprintApp(None, Path("logs"), first=True)
    async with app.run_test(size=(80, 24)) as pilot:
        row = shown(app, "body").splitlines().index(next(x for x in shown(app, "body").splitlines() if "Open a" in x))
        await pilot.click("#body", offset=(6, row))
        assert isinstance(app.screen, FirstScreen) and "▸ Open a run" in shown(app, "body")
        await pilot.click("#body", offset=(6, row))
        assert isinstance(app.screen, RunsScreen)


def test_what_it_says_of_the_demonstrations_is_so() -> None:
    quick, demo, _ = choices(0, Path("logs"))
    topics = yaml.safe_load((shipped_configs() / "quick.yaml").read_text())["curriculum"]["topics"]
    assert quick.text.startswith(f"{len(topics)} topics")
    units = yaml.safe_load((shipped_configs() / "curricula/keeper/curriculum.yaml").read_text())["units"]
    count = sum(len(chapter["topics"]) for unit in units for chapter in unit["chapters"])
    assert demo.text.startswith(f"All {count} topics")
