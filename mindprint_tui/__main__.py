"""Entry point of `python -m mindprint_tui`, the same as `mindprint-tui`."""

from mindprint_tui.cli import main

if __name__ == "__main__":
    main()
