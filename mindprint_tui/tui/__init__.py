"""The Textual application: screens, widgets and the terminal driver."""
