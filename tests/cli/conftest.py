"""Platforms that receive notices, for the commands that send them."""

from tests.tasks.notices.conftest import books, clock_file, platforms

__all__ = ["books", "clock_file", "platforms"]
