"""`billing notices list` and `show`: what was sent, to whom, and what came of it."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import click
from sqlalchemy.orm import Session

from billing import topics as catalogue
from billing.notices import Notice, NoticeDetails, NoticeFilter, get_notice, list_notices
from cli.notices.exchange import readable
from cli.notices.options import ENDPOINT, NOTICE_ID
from cli.options import ListView, View, record_options, timed_list_options
from cli.output import (
    Columns,
    Record,
    Section,
    is_for_people,
    print_json,
    print_list,
    print_record,
    print_records,
    print_sections,
    zone_of,
)
from db.pages import Page, Wanted
from db.session import transaction

_type_option = click.option(
    "--type", "types", metavar="TOPIC", multiple=True,
    help="Only this topic, or `balance.*`; may be repeated.",
)  # fmt: skip
_endpoint_option = click.option(
    "--endpoint", "endpoint_id", metavar="ID", type=ENDPOINT, help="Only to this endpoint."
)
_account_option = click.option(
    "--account", "ref", metavar="REF", help="Only what is about this account."
)


@click.command(name="list")
@click.option(
    "--state",
    type=click.Choice(["pending", "done", "dead", "skipped"]),
    help="Only those with a delivery in this state.",
)
@_endpoint_option
@_type_option
@_account_option
@timed_list_options
def list_(
    state: Any,
    endpoint_id: int | None,
    types: tuple[str, ...],
    ref: str | None,
    *,
    view: ListView,
) -> None:
    """List notices with their deliveries, newest first.

    \b
    Examples:
      billing notices list --state dead
      billing notices list --endpoint 3 --state pending
      billing notices list --type 'balance.*' --account clinic:42 --since 7d
    """
    if types:
        catalogue.check_patterns(types)
    which = NoticeFilter(topics=types, account=ref, endpoint_id=endpoint_id, state=state)
    for_people = is_for_people(view)

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        found = list_notices(session, wanted, which=which)
        return found.map(partial(_summary, for_people=for_people))

    print_list(read, view, columns=_COLUMNS, account=ref, empty="No notices match.")


_COLUMNS = Columns(
    "notice_id+created_at type+account deliveries",
    more="sequence position product subject superseded request_id",
)


def _summary(notice: Notice, *, for_people: bool) -> Record:
    deliveries: Any = in_words(notice) if for_people else machine_deliveries(notice)
    return {
        "notice_id": f"ntc_{notice.notice_id}",
        "type": notice.topic,
        "account": notice.account,
        "sequence": notice.sequence,
        "deliveries": deliveries,
        "created_at": notice.created_at,
        "position": notice.position,
        "product": notice.product,
        "subject": notice.subject,
        "superseded": notice.superseded,
        "request_id": notice.request_id,
    }


def machine_deliveries(notice: Notice) -> list[Record]:
    """Return the deliveries of a notice in the shape that machines read."""
    return [
        {"endpoint_id": one.endpoint_id, "state": one.state, "attempts": one.attempts}
        for one in notice.deliveries
    ]


def in_words(notice: Notice) -> str:
    """Return what became of a notice, such as `endpoint 3: done (1 attempt)`."""
    if notice.superseded:
        return "replaced by a newer one"
    if notice.position is None:
        return "not placed yet"
    words = [
        f"endpoint {one.endpoint_id}: {one.state} ({one.attempts}"
        f" attempt{'s' * (one.attempts != 1)})"
        for one in notice.deliveries
    ]
    return ", ".join(words) or "nobody asked for it"


@click.command()
@click.argument("notice_id", metavar="ID", type=NOTICE_ID)
@click.option("--answers", is_flag=True, help="Also show the beginning of each answer.")
@record_options
def show(notice_id: int, *, answers: bool, view: View) -> None:
    """Show notice ID: what is sent of it, to whom, and each attempt.

    ID is the webhook-id that receivers see, such as ntc_42.
    """
    with transaction() as session:
        found = get_notice(session, notice_id)
    if view.as_json:
        print_json(_in_full(found))
    else:
        print_sections(list(_sections(found, view, answers=answers)))


def _sections(found: NoticeDetails, view: View, *, answers: bool) -> Iterator[Section]:
    notice = found.notice
    record = {**_summary(notice, for_people=True), "body": _folding(found.body)}
    yield "", partial(print_record, record, view)
    zone = zone_of(notice.account)
    deliveries = list(_deliveries(found))
    if deliveries:
        columns = Columns(
            "endpoint_id state attempts next_attempt_at+finished_at last_error",
            more="url last_status",
        )
        yield (
            "Deliveries:",
            partial(print_records, deliveries, view, columns=columns, empty="", zone=zone),
        )
    attempts = list(_attempts(found))
    columns = Columns("endpoint_id number started_at status duration_ms error", more="answer")
    table = partial(
        print_records, attempts, view, columns=columns, empty="No attempts yet.", zone=zone
    )
    yield ("Attempts:" if attempts else "", table)
    if answers:
        for one in attempts:
            title = f"Answer to attempt {one['number']} at endpoint {one['endpoint_id']}:"
            yield title, partial(click.echo, "\n".join(readable(one["answer"].encode())))


def _in_full(found: NoticeDetails) -> Record:
    attempts = list(_attempts(found))
    return {
        **_summary(found.notice, for_people=False),
        "body": _text(found.body),
        "deliveries": [
            {
                **one,
                "attempts_made": [a for a in attempts if a["endpoint_id"] == one["endpoint_id"]],
            }
            for one in _deliveries(found)
        ],
    }


def _text(body: bytes | None) -> str | None:
    return None if body is None else body.decode("utf-8", "backslashreplace")


def _folding(body: bytes | None) -> str | None:
    """Return a body with blanks between its parts, which a terminal can fold; `--json` has it."""
    return None if body is None else json.dumps(json.loads(body), ensure_ascii=False)


def _deliveries(found: NoticeDetails) -> Iterator[Record]:
    for one in found.notice.deliveries:
        yield {
            "endpoint_id": one.endpoint_id,
            "url": one.url,
            "state": one.state,
            "attempts": one.attempts,
            "next_attempt_at": one.next_attempt_at,
            "finished_at": one.finished_at,
            "last_status": one.last_status,
            "last_error": one.last_error,
        }


def _attempts(found: NoticeDetails) -> Iterator[Record]:
    for delivery in found.notice.deliveries:
        for one in found.attempts.get(delivery.delivery_id, ()):
            yield {
                "endpoint_id": delivery.endpoint_id,
                "number": one.number,
                "started_at": one.started_at,
                "status": one.status,
                "duration_ms": one.duration_ms,
                "error": one.error,
                "answer": one.response_head.decode("utf-8", "backslashreplace"),
            }
