"""`billing notices endpoints`: where notices are sent to."""

import sys
from dataclasses import asdict
from datetime import timedelta

import click

from billing import topics as catalogue
from billing.notices import Missed, replay
from billing.notices import endpoints as rules
from cli.actor import process_actor
from cli.notices import exchange
from cli.notices.options import ENDPOINT
from cli.options import (
    View,
    actor_of_the_log_option,
    confirm,
    record_options,
    table_options,
    yes_option,
)
from cli.output import Columns, is_for_people, plain, print_record, print_records
from cli.times import SPAN
from db.session import transaction

_KEEP_IT = (
    "This is the secret that its notices are signed with. It is shown only now: hand it\n"
    "to whoever runs {url}\n"
    "as NOTICE_SECRET or the like. Lost? billing notices endpoints rotate {id}"
)


@click.group()
def endpoints() -> None:
    """Say where notices are sent to: add, test, rotate, switch on and off.

    \b
    Examples:
      billing notices endpoints add https://shop.example/notices --product clinic_leads
      billing notices endpoints test 3
      billing notices endpoints rotate 3 --overlap 24h
      billing notices endpoints enable 3
    """


@endpoints.command()
@click.argument("url")
@click.option("--product", required=True, help="Notices of this product's accounts.")
@click.option("--account", metavar="REF", help="Only those of this account.")
@click.option(
    "--topic",
    "topics",
    multiple=True,
    help="Only this topic, or `balance.*`; may be repeated. By default `*`: all but those that are"
    " many, such as lead.charged, which must be named.",
)
@click.option(
    "--ordered",
    is_flag=True,
    help="Send an account's notice only after the one before it is done or dead; slower.",
)
@click.option("--description", default="", help="For people, such as who runs it.")
@actor_of_the_log_option
@record_options
def add(
    url: str,
    product: str,
    account: str | None,
    topics: tuple[str, ...],
    description: str,
    *,
    ordered: bool,
    view: View,
) -> None:
    """Send notices to URL from now on, and print the secret that signs them, only this once.

    What happened before is not sent; `billing notices replay --since` does so.

    \b
    Examples:
      billing notices endpoints add https://shop.example/notices --product clinic_leads
      billing notices endpoints add https://shop.example/n --product clinic_leads \\
        --topic 'balance.*' --topic lead.charged --ordered
    """
    from notify.http import Allowed, require_callable  # noqa: PLC0415 - few commands need it

    catalogue.check_patterns(topics)
    with transaction() as session:
        new = rules.add(
            session,
            url=url,
            product=product,
            account=account,
            topics=topics or ("*",),
            ordered=ordered,
            description=description,
            actor=process_actor(),
        )
        require_callable(url, Allowed.by_settings())
    _print_secret(new.endpoint_id, new.secret, url, view)


def _print_secret(endpoint_id: int, secret: str, url: str, view: View) -> None:
    print_record({"endpoint_id": endpoint_id, "secret": secret}, view)
    if is_for_people(view):
        click.echo("\n" + _KEEP_IT.format(url=url, id=endpoint_id))
        click.echo(f"Try it: billing notices endpoints test {endpoint_id}")


@endpoints.command(name="list")
@click.option("--product", help="Only those of this product.")
@table_options
def list_(product: str | None, *, view: View) -> None:
    """List endpoints: their state, what waits for them and what they missed."""
    with transaction() as session:
        found = [asdict(one) for one in rules.list_all(session, product=product)]
    empty = "No endpoints yet: add one with `billing notices endpoints add URL --product P`."
    print_records(found, view, columns=_COLUMNS, empty=empty)


_COLUMNS = Columns(
    "endpoint_id state url+last_success_at pending missed",
    more="product account topics ordered description state_reason first_failure_at"
    " consecutive_failures paused_until oldest_pending_at secrets lease_until created_at"
    " created_by",
)


@endpoints.command()
@click.argument("endpoint_id", metavar="ID", type=ENDPOINT)
@record_options
def show(endpoint_id: int, *, view: View) -> None:
    """Show endpoint ID: its state and why, what waits for it and what it missed."""
    with transaction() as session:
        record = asdict(rules.get(session, endpoint_id))
    print_record(record, view)
    if is_for_people(view):
        click.echo(f"\nIts notices: billing notices list --endpoint {endpoint_id}")


@endpoints.command()
@click.argument("endpoint_id", metavar="ID", type=ENDPOINT)
@record_options
def test(endpoint_id: int, *, view: View) -> None:
    """Send a notice of the topic endpoint.test to endpoint ID now, and show the whole exchange.

    Works for an endpoint that is off as well. It is tried once, and decides nothing about the
    endpoint. The exit code is 1 unless it answers 2xx.
    """
    held = exchange.hold(endpoint_id)
    exchange.show(held, view)
    if not held.answer.is_success:
        sys.exit(1)


@endpoints.command()
@click.argument("endpoint_id", metavar="ID", type=ENDPOINT)
@click.option(
    "--overlap",
    type=SPAN,
    default="24h",
    show_default=True,
    help="How long the old secret signs as well; 0s: it ends at once.",
)
@actor_of_the_log_option
@record_options
def rotate(endpoint_id: int, overlap: timedelta, *, view: View) -> None:
    """Give endpoint ID a new secret, and print it, only this once.

    Until the overlap ends each notice has both signatures: its receiver may change the secret at
    any time in between.
    """
    with transaction() as session:
        url = rules.get(session, endpoint_id).url
        secret = rules.rotate(session, endpoint_id, overlap=overlap)
    _print_secret(endpoint_id, secret, url, view)


@endpoints.command()
@click.argument("endpoint_id", metavar="ID", type=ENDPOINT)
@actor_of_the_log_option
@record_options
def enable(endpoint_id: int, *, view: View) -> None:
    """Switch endpoint ID on again, or have one that fails tried now.

    What waits for its next attempt is tried at once. What it missed is not sent by itself: the
    command says how many notices that are, and how to replay them.
    """
    with transaction() as session:
        rules.enable(session, endpoint_id)
        record = asdict(rules.get(session, endpoint_id))
        missed = replay(session, missed=Missed(), endpoint_id=endpoint_id, dry_run=True)
    print_record({**record, "missed": missed}, view)
    if missed and is_for_people(view):
        click.echo(
            f"\nIt missed {missed:,} notices. To send them:"
            f" billing notices replay --endpoint {endpoint_id}"
            "\nOnly the newer ones: add --since 2d"
        )


@endpoints.command()
@click.argument("endpoint_id", metavar="ID", type=ENDPOINT)
@click.option("--reason", default="", help="Why; `show` says it.")
@actor_of_the_log_option
@record_options
def disable(endpoint_id: int, reason: str, *, view: View) -> None:
    """Switch endpoint ID off; what happens meanwhile can be replayed."""
    with transaction() as session:
        rules.disable(session, endpoint_id, reason=reason or "by hand")
        record = asdict(rules.get(session, endpoint_id))
    print_record(record, view)


@endpoints.command()
@click.argument("endpoint_id", metavar="ID", type=ENDPOINT)
@actor_of_the_log_option
@yes_option
@record_options
def remove(endpoint_id: int, *, yes: bool, view: View) -> None:
    """Remove endpoint ID for good; its attempts stay on record.

    To stop for a while: billing notices endpoints disable ID.
    """
    with transaction() as session:
        url = rules.get(session, endpoint_id).url
    confirm(f"Never send to {plain(url)} again? Its secret is destroyed.", yes=yes)
    with transaction() as session:
        rules.remove(session, endpoint_id)
    print_record({"endpoint_id": endpoint_id, "state": "removed"}, view)
