"""`python -m devstack.mail_sink`: the sink's SMTP server and its page, until Ctrl-C or SIGTERM."""

import logging
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

import clock
import settings
from devstack import ports
from devstack.errors import DevstackError
from devstack.mail_sink.server import serve
from devstack.mail_sink.store import Store

PORT = click.IntRange(1, 65535)


@click.command()
@click.option("--port", type=PORT, help="Of the page. Default: SINK_PORT, or 8025.")
@click.option("--smtp-port", type=PORT, help="Default: SINK_SMTP_PORT, or 1025.")
@click.option("--most", default=200, show_default=True, help="How many mails are kept.")
@click.option(
    "--data-dir", envvar="BILLING_DATA_DIR", type=click.Path(path_type=Path),
    default=settings.PROJECT_DIR / ".data", help="The mails are kept in its folder mail.",
)  # fmt: skip
@click.option(
    "--development-clock", envvar=settings.CLOCK_VARIABLE, type=click.Path(path_type=Path),
    help="The file that moves the time of the stack.",
)  # fmt: skip
def main(
    *,
    port: int | None,
    smtp_port: int | None,
    most: int,
    data_dir: Path,
    development_clock: Path | None,
) -> None:
    """MAIL SINK for development: takes every mail, and sends none on."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        port = port or settings.listener("sink").port
        smtp_port = smtp_port or settings.listener("sink_smtp").port
        ports.require_free({"SINK_PORT": port, "SINK_SMTP_PORT": smtp_port})
        clock.follow(development_clock)
        store = Store(data_dir / "mail", most=most)
        signal.signal(signal.SIGTERM, _stop)
        serve(store, port=port, smtp_port=smtp_port)
    except (DevstackError, clock.ClockError, settings.SettingsError, OSError) as error:
        sys.exit(f"cannot start: {error}")
    except KeyboardInterrupt:
        sys.exit(0)


def _stop(_signum: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
