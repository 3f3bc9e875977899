"""Stopped and continued consoles: by a signal, by Ctrl-Z in a shell with job control."""

import os
import shlex
import signal
import sys
import termios
import time
from collections.abc import Callable

import pytest
from terminal import Terminal, console_on

from engine.contract.run_folder.folder import RunDir

Story = Callable[[str], RunDir]


def stop(pid: int) -> None:
    """Stops a process and waits until it has stopped."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 10
    while _state(pid) != "T":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_console_that_was_stopped_ends_with_q(story: Story) -> None:
    run = story("happy")
    with Terminal(console_on(run.path)) as terminal:
        terminal.wait("1 Topics")
        terminal.settle(0.5)
        for _ in range(3):
            stop(terminal.pid)
            os.kill(terminal.pid, signal.SIGCONT)
            terminal.settle(0.4)
        terminal.type("?")
        terminal.wait("mindprint help")
        terminal.type("q")
        assert terminal.ended(20) == 0
        assert termios.tcgetattr(terminal.descriptor)[3] & termios.ICANON, "the terminal is as it was before"


def test_ctrl_z_gives_the_shell_back_and_fg_draws_the_console_again(story: Story) -> None:
    run = story("happy")
    with Terminal(["bash", "--norc", "--noprofile", "-i"], PS1="shell$ ") as terminal:
        terminal.wait("shell$")
        terminal.type(shlex.join(console_on(run.path)) + "\r")
        terminal.wait("1 Topics")
        for _ in range(2):
            terminal.settle(0.5)
            terminal.type("\x1a")
            terminal.wait("Stopped")
            terminal.type("echo $((6 * 7))\r")
            terminal.wait("42")
            terminal.screen.reset()
            terminal.type("fg\r")
            terminal.wait("1 Topics")
        terminal.settle(0.5)
        terminal.type("q")
        terminal.wait("shell$")
        terminal.type("echo left $?; exit\r")
        terminal.wait("left 0")
        assert terminal.ended(20) == 0


def test_ctrl_z_does_nothing_without_a_shell_that_could_bring_the_console_back(story: Story) -> None:
    run = story("happy")
    with Terminal(console_on(run.path)) as terminal:
        terminal.wait("1 Topics")
        terminal.type("\x1a")
        terminal.wait("no shell with job control")
        terminal.type("?")
        terminal.wait("mindprint help")
        terminal.type("q")
        assert terminal.ended(20) == 0
