"""`python -m devstack run` and `python -m devstack smoke`, called by the Makefile."""

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

import settings
from devstack import host, plan, run, smoke
from devstack.errors import DevstackError
from devstack.terminal import Terminal

procfile_option = click.option(
    "--procfile",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=plan.PROCFILE,
    help="The processes to run; for tests of the stack itself.",
)


@click.group()
def main() -> None:
    """The development stack: PostgreSQL, Redis and every process of the Procfile."""


@main.command("run")
@click.option(
    "--demo/--no-demo", default=True, help="Send a demo lead and pay a demo top-up when all is up."
)
@procfile_option
def run_command(*, demo: bool, procfile: Path) -> None:
    """Run the stack until Ctrl-C; its data is kept."""
    terminal = Terminal()
    _exit_with(
        terminal,
        lambda: host.host(plan.make(procfile_path=procfile), run.story(with_demo=demo), terminal),
    )


@main.command("smoke")
@procfile_option
def smoke_command(*, procfile: Path) -> None:
    """Run the stack on free ports and throw-away data, check a lead and a top-up, exit 0 or 1."""
    terminal = Terminal()

    def check() -> int:
        data_dir = Path(tempfile.mkdtemp(prefix="billing-smoke-"))
        # As root, PostgreSQL's own user must get through; what is secret in it has mode 0600.
        data_dir.chmod(0o711)
        try:
            the_plan = plan.make(procfile_path=procfile, data_dir=data_dir)
        except BaseException:
            shutil.rmtree(data_dir)
            raise
        return host.host(the_plan, smoke.story, terminal)

    _exit_with(terminal, check)


def _exit_with(terminal: Terminal, work: Callable[[], int]) -> None:
    try:
        code = work()
    except (DevstackError, settings.SettingsError) as error:
        terminal.error(str(error))
        code = 1
    except KeyboardInterrupt:
        terminal.error("interrupted")
        code = host.INTERRUPTED
    except Exception as error:  # the last word to a person; the log has the rest
        logging.exception("the stack failed")
        terminal.error(f"{type(error).__name__}: {error}")
        code = 1
    sys.exit(code)


def _open_standard_streams() -> None:
    """Open /dev/null for each of stdin, stdout and stderr that cron or CI closed.

    Else a socket of ours would get that number, and every child would write into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
            os.set_inheritable(number, True)  # noqa: FBT003
            setattr(sys, name, os.fdopen(number, mode))


if __name__ == "__main__":
    _open_standard_streams()
    main()
