"""`python -m devstack.simulator`: Razorpay and Stripe as simulators, until Ctrl-C or SIGTERM.

Keys and secrets come from the environment alone, by the names the product reads them by, so that
both agree; what is not set has a default that no real gateway would take.
"""

import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

import clock
import settings
from devstack import ports
from devstack.errors import DevstackError
from devstack.simulator.config import Config
from devstack.simulator.server import serve
from devstack.simulator.switches import SwitchError, parse

PORT = click.IntRange(1, 65535)
SECRETS = {
    "RAZORPAY_KEY_ID": "razorpay_key_id",
    "RAZORPAY_KEY_SECRET": "razorpay_key_secret",
    "RAZORPAY_WEBHOOK_SECRETS": "razorpay_webhook_secrets",
    "STRIPE_API_KEY": "stripe_api_key",
    "STRIPE_WEBHOOK_SECRETS": "stripe_webhook_secrets",
}
"""Variable -> field of `Config`; of several webhook secrets the first signs."""


@click.command()
@click.option("--host", default=ports.HOST, help="The address to listen on.", show_default=True)
@click.option("--port", type=PORT, help="Default: SIMULATOR_PORT, or 8009.")
@click.option(
    "--seed", envvar="SIMULATOR_SEED", default=1, show_default=True,
    help="Decides every id and every stroke of luck.",
)  # fmt: skip
@click.option(
    "--switches", envvar="SIMULATOR_SWITCHES", default="",
    help="name=value, comma-separated; GET /simulator/switches lists them.",
)  # fmt: skip
@click.option("--receiver-port", type=PORT, help="Default: RECEIVER_PORT, or 8000.")
@click.option(
    "--razorpay-webhook-url", multiple=True, envvar="SIMULATOR_RAZORPAY_WEBHOOK_URLS",
    help="Default: the receiver's /webhooks/razorpay. Several: again, or parted by blanks in the"
    " variable.",
)  # fmt: skip
@click.option(
    "--stripe-webhook-url", multiple=True, envvar="SIMULATOR_STRIPE_WEBHOOK_URLS",
    help="Default: the receiver's /webhooks/stripe.",
)  # fmt: skip
@click.option(
    "--development-clock", envvar=settings.CLOCK_VARIABLE, type=click.Path(path_type=Path),
    help="The file that moves the time of the stack.",
)  # fmt: skip
def main(
    *,
    host: str,
    port: int | None,
    seed: int,
    switches: str,
    receiver_port: int | None,
    razorpay_webhook_url: tuple[str, ...],
    stripe_webhook_url: tuple[str, ...],
    development_clock: Path | None,
) -> None:
    """SIMULATOR of Razorpay and Stripe, for development: no money moves here."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        port = port or settings.listener("simulator").port
        receiver_port = receiver_port or settings.listener("receiver").port
        receiver = f"http://{ports.HOST}:{receiver_port}/webhooks"
        clock.follow(development_clock)
        ports.require_free({"SIMULATOR_PORT": port})
        config = Config(
            host=host, port=port, seed=seed, switches=parse(switches),
            razorpay_webhook_urls=razorpay_webhook_url or (f"{receiver}/razorpay",),
            stripe_webhook_urls=stripe_webhook_url or (f"{receiver}/stripe",),
            **_secrets(os.environ),
        )  # fmt: skip
        signal.signal(signal.SIGTERM, _stop)
        serve(config)
    except (DevstackError, SwitchError, clock.ClockError, settings.SettingsError) as error:
        sys.exit(f"cannot start: {error}")
    except KeyboardInterrupt:
        sys.exit(0)


def _secrets(environment: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for variable, name in SECRETS.items():
        text = environment.get(variable, "").strip()
        if text and variable.endswith("SECRETS"):
            given[name] = _listed(variable, text)
        elif text:
            given[name] = text
    return given


def _listed(variable: str, text: str) -> tuple[str, ...]:
    try:
        return settings.lists.split(text)
    except ValueError as error:
        raise settings.SettingsError(f"{variable}: {error}") from None


def _stop(_signum: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
