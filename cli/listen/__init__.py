"""`billing listen`: receives the notices of a development stack, and hands them to a program."""

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from urllib.parse import urlsplit

import click
from rich.text import Text

import clock
import settings
from billing import audit
from billing.notices import UnknownEndpoint, endpoints
from cli.actor import process_actor
from cli.cells import local_time, plain
from cli.development import require_development
from cli.listen.forwarding import Forwarded, Receiver
from cli.notices import nudge
from cli.output import console
from db.session import transaction
from errors import BillingError

LEASE = timedelta(minutes=1)
RENEW_SECONDS = 15
LOOK_SECONDS = 0.5


class _WebAddress(click.ParamType[str]):
    name = "url"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        text = str(value)
        try:
            parts = urlsplit(text)
            ok = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            ok = False
        if not ok:
            self.fail(
                f"{value!r} is not an address such as http://127.0.0.1:5000/hooks", param, ctx
            )
        return text


@click.command()
@click.option(
    "--forward", type=_WebAddress(), help="The program that is to receive them; else only printed."
)
@click.option("--topic", "topics", multiple=True, help="Only this topic, or `balance.*`. Repeat.")
@click.option("--product", help="Only notices of this product's accounts.")
@click.option("--account", metavar="REF", help="Only notices of this account.")
@click.option("--print-json", is_flag=True, help="Also print the body of each notice.")
def listen(
    forward: str | None,
    topics: tuple[str, ...],
    product: str | None,
    account: str | None,
    *,
    print_json: bool,
) -> None:
    """Receive the notices of this stack while it runs, in development.

    Forwards each to a program that you write, with the very bytes and headers that a real endpoint
    gets, and prints what it answered. An error is sent again, as in production: after 5 seconds,
    5 minutes, ... Lasts until Ctrl-C, and leaves no endpoint behind. Make something happen with
    `billing trigger`, in another terminal.

    Without --topic all topics come but those of many notices; name these, such as lead.charged.

    \b
    Examples:
      billing listen --print-json
      billing listen --forward http://127.0.0.1:5000/hooks --account clinic:demo-1
      billing listen --topic 'balance.*' --topic lead.charged
    """
    require_development("listen")
    printer = _Printer(print_json=print_json)
    receiver = Receiver(forward, printer.show)
    with audit.asked_by(process_actor(), door="cli"), _ends_by_signal():
        with transaction() as session:
            new = endpoints.add(
                session,
                url=receiver.url,
                product=product,
                account=account,
                topics=topics or ("*",),
                description="billing listen",
                actor=process_actor(),
                lease_until=clock.real_now() + LEASE,
            )
        try:
            _introduce(forward, new.secret)
            threading.Thread(target=receiver.serve_forever, daemon=True).start()
            _keep_alive(new.endpoint_id, receiver)
        finally:
            with transaction() as session:
                endpoints.remove(session, new.endpoint_id)


def _introduce(forward: str | None, secret: str) -> None:
    to = f"forwards to {forward}" if forward else "prints them only; --forward URL hands them on"
    click.echo(f"Listening for notices ({to}).", err=True)
    click.echo(f"Verify them with this secret, which is new at each start: {secret}", err=True)
    click.echo("Make one: billing trigger balance.low --account REF. End: Ctrl-C.\n", err=True)


def _keep_alive(endpoint_id: int, receiver: Receiver) -> None:
    """Keep the endpoint while this runs, and send again what its program was not there for.

    A database that is away is reported, and asked again.
    """
    renew_at = time.monotonic() + RENEW_SECONDS
    while True:
        time.sleep(LOOK_SECONDS)
        try:
            if time.monotonic() > renew_at:
                renew_at = time.monotonic() + RENEW_SECONDS
                with transaction() as session:
                    endpoints.renew_lease(session, endpoint_id, until=clock.real_now() + LEASE)
            if receiver.unheard and receiver.reaches_its_target():
                _send_again(endpoint_id, receiver)
        except UnknownEndpoint:
            raise click.ClickException(
                "the endpoint is gone: it was removed, or not renewed for a minute; listen again"
            ) from None
        except BillingError as error:
            click.echo(f"Warning: {error}; trying again", err=True)


def _send_again(endpoint_id: int, receiver: Receiver) -> None:
    """Have the notices that found nobody sent now, instead of at their time on the ladder."""
    ids = set(receiver.unheard)
    with transaction() as session:
        endpoints.enable(session, endpoint_id)
    receiver.unheard.difference_update(ids)
    nudge.send_notices()
    notices = "1 notice is" if len(ids) == 1 else f"{len(ids)} notices are"
    click.echo(f"The program is there again: {notices} sent again.", err=True)


@contextmanager
def _ends_by_signal() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP end the command in its orderly way, with exit code 0."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt:
        click.echo("\nNo longer listening; its endpoint is gone.", err=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Printer:
    """Prints one line for each notice; several may come at once."""

    def __init__(self, *, print_json: bool) -> None:
        self._print_json = print_json
        self._lock = threading.Lock()

    def show(self, found: Forwarded) -> None:
        """Print a notice and what the program answered."""
        notice = _read(found.body)
        data = notice.get("data")
        data = data if isinstance(data, dict) else {}
        at = local_time(clock.now(), settings.get().zone)[11:]
        sequence = f"#{data['sequence']}" if data.get("sequence") is not None else "-"
        status = str(found.status) if found.status is not None else f"503, {found.problem}"
        cells = (
            at,
            notice.get("type", "?"),
            data.get("account") or "-",
            sequence,
            found.notice_id,
            status,
        )
        line = "  ".join(plain(cell) for cell in cells) + f"  {found.milliseconds} ms"
        style = "" if found.status is not None and found.status < 300 else "red"
        with self._lock:
            console().print(Text(line, style=style), soft_wrap=True)
            if self._print_json:
                text = json.dumps(notice, indent=2, ensure_ascii=False)
                console().print(Text("\n".join(map(plain, text.split("\n")))), soft_wrap=True)
            sys.stdout.flush()


def _read(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
