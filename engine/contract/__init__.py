"""The contract between the engine and its readers: settings, events, commands and run folders."""
