"""The command line: one file per command, no logic of its own, nothing heavy loaded before a command runs."""
