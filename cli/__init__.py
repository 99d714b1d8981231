"""The `billing` command: what an operator asks for by hand."""
