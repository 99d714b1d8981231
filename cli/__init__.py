"""The `billing` command, for operators: one file for each group of commands."""
