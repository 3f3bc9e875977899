"""`python -m mindprint_tui` is `mindprint-tui`."""

from mindprint_tui.cli import main

if __name__ == "__main__":
    main()
