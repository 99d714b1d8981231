"""What a person sees of the stack. Plain text when piped; a dead terminal never stops a stop."""

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.markup import escape

ATTENTION = "[yellow]![/] "


class Terminal:
    """Prints progress to stdout and errors to stderr."""

    def __init__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            # A terminal in an old encoding shows `?` instead of a check mark.
            with contextlib.suppress(AttributeError):
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]
        self._out = Console(highlight=False)
        self._err = Console(highlight=False, stderr=True)

    def say(self, text: str = "", *, mark: str = "") -> None:
        """Print one line as it is, behind a coloured `mark`, which may hold rich markup."""
        self.show(mark + escape(text))

    def show(self, what: RenderableType) -> None:
        """Print a line, a table or anything else rich can draw."""
        # The reader may be gone (`make run | head`, a closed window): the stack goes on, and
        # above all its ordered stop does.
        with contextlib.suppress(OSError):
            self._out.print(what, soft_wrap=isinstance(what, str))

    def error(self, message: str) -> None:
        """Print a message for a person to stderr, as it is."""
        with contextlib.suppress(OSError):
            self._err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show a spinner (on a terminal) while the block runs, then a line with its time."""
        started = time.monotonic()
        with self._spinner(title):
            yield
        seconds = time.monotonic() - started
        self.say(f"{title}  {seconds:.1f} s", mark="[green]✓[/] ")

    @contextlib.contextmanager
    def _spinner(self, title: str) -> Iterator[None]:
        if not self._out.is_terminal:
            yield
            return
        with self._out.status(f"{escape(title)} ..."):
            yield
