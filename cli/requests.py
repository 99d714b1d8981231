"""`billing requests`: the API's recent requests, and what each of them wrote."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import click
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.orm import Session

import settings
from billing import oversight
from billing.oversight import RequestRow
from cli.options import ListView, View, record_options, timed_list_options
from cli.output import (
    Columns,
    Record,
    Section,
    print_json,
    print_list,
    print_record,
    print_records,
    print_sections,
)
from db.pages import COUNTED, InvalidPosition, Page, Wanted
from db.session import snapshot
from errors import PermanentError
from service import recent_requests, redis_url, request_ids
from service.recent_requests import RecentRequest
from service.redis_url import RedisCluster

TIMEOUT_SECONDS = 3


@click.group()
def requests() -> None:
    """List the API's recent requests, and show what one of them wrote.

    \b
    Examples:
      billing requests list --status 4xx --caller marketplace
      billing requests show req_0f5e3c1b8a7d4e2f9a6b5c4d3e2f1a0b
    """


class _Statuses(click.ParamType[str]):
    name = "status"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        text = str(value).lower()
        if not re.fullmatch("[1-5]([0-9]{2}|xx)", text):
            self.fail(f"{value!r} is not a status such as 404 or 4xx", param, ctx)
        return text


_COLUMNS = Columns(
    "at+caller status+problem request+request_id",
    more="account duration_ms replayed client",
)


@requests.command(name="list")
@click.option("--caller", metavar="NAME", help="Only those of the API key of this name.")
@click.option(
    "--route",
    metavar="TEXT",
    help="Only those whose method and route hold this, such as 'POST /v1/orders'; or a path.",
)
@click.option("--status", type=_Statuses(), help="Only this status, or 2xx, 4xx, 5xx.")
@click.option("--account", metavar="REF", help="Only what is about this account.")
@timed_list_options
def list_(
    caller: str | None,
    route: str | None,
    status: str | None,
    account: str | None,
    *,
    view: ListView,
) -> None:
    """List the API's recent requests, newest first.

    The last API_REQUESTS_KEPT (10,000) of callers with a key are kept for 7 days, and a tenth as
    many of others. Bodies and paths are not.
    """
    chosen = _Filter(caller, route, status, account)
    with _noted() as redis:

        def read(_session: Session, wanted: Wanted) -> Page[Record]:
            return _page(redis, wanted, chosen).map(_record)

        print_list(read, view, columns=_COLUMNS, empty=_nothing())


@requests.command()
@click.argument("request_id", metavar="ID")
@record_options
def show(request_id: str, *, view: View) -> None:
    """Show request ID and the rows that it wrote.

    ID is the X-Request-Id of its answer, and `request_id` in a refusal. The rows are also found
    of a request that is no longer noted, and of a delivery to the receiver.
    """
    if not request_ids.sane(request_id):
        raise PermanentError(
            f"{request_id!a} is not the id of a request: take it from X-Request-Id of the answer,"
            " or from `billing requests list`"
        )
    noted, looked_at = _find_noted(request_id)
    since = min((one.at for one in noted), default=None)
    with snapshot() as session:
        rows = oversight.rows_of_request(session, request_id, since=since)
    if not noted and not rows:
        raise PermanentError(
            f"no request {request_id} is among {looked_at}, and no row of the database has its id"
        )
    requests_, written = [_record(one) for one in noted], [_row(row) for row in rows]
    if view.as_json:
        print_json({"request_id": request_id, "requests": requests_, "rows": written})
        return
    if not noted:
        click.echo(f"It is not among {looked_at}.", err=True)
    print_sections(list(_sections(requests_, written, view)))


def _sections(noted: list[Record], rows: list[Record], view: View) -> Iterator[Section]:
    if len(noted) == 1:
        yield "", partial(print_record, noted[0], view)
    elif noted:
        table = partial(print_records, noted, view, columns=_COLUMNS, empty="")
        yield f"{len(noted)} requests have this id:", table
    columns = Columns("at+table id detail+command")
    table = partial(print_records, rows, view, columns=columns, empty="It wrote no row.")
    yield "What it wrote:" if rows else "", table


@dataclass(frozen=True, slots=True)
class _Filter:
    """What is wanted of the requests; None: any."""

    caller: str | None
    route: str | None
    status: str | None
    account: str | None

    def matches(self, one: RecentRequest, wanted: Wanted) -> bool:
        return (
            (self.caller is None or one.caller == self.caller)
            and (self.account is None or one.account == self.account)
            and (self.status is None or _is_of(one.status, self.status))
            and (self.route is None or _is_at(one, self.route))
            and (wanted.since is None or one.at >= wanted.since)
            and (wanted.until is None or one.at < wanted.until)
        )


def _is_of(status: int, sought: str) -> bool:
    return str(status) == sought or (sought.endswith("xx") and str(status)[0] == sought[0])


def _is_at(one: RecentRequest, sought: str) -> bool:
    """Return whether a request's route holds a text, or whether the text is a path of the route."""
    if sought.lower() in one.request.lower():
        return True
    parts = re.split(r"\{[^}]*\}", one.route or "")
    return len(parts) > 1 and re.fullmatch(".+".join(map(re.escape, parts)), sought) is not None


def _page(redis: Redis, wanted: Wanted, chosen: _Filter) -> Page[RecentRequest]:
    try:
        after = recent_requests.position_of(wanted.after) if wanted.after else None
    except ValueError as error:
        raise InvalidPosition("after", str(error)) from None
    rows: list[RecentRequest] = []
    more = 0
    last = after
    for position, one in recent_requests.newest_first(redis, after=after):
        if not chosen.matches(one, wanted):
            continue
        if len(rows) < wanted.limit:
            rows.append(one)
            last = position
            continue
        more += 1
        if not wanted.counted or more > COUNTED:
            break
    behind = recent_requests.written(last) if more and last is not None else None
    return Page(rows, more if wanted.counted else 0, behind)


def _find_noted(request_id: str) -> tuple[list[RecentRequest], str]:
    """Return the requests with an id, the newest first, and what was looked through."""
    found: list[RecentRequest] = []
    number, oldest = 0, None
    try:
        with _noted() as redis:
            for _, one in recent_requests.newest_first(redis):
                number, oldest = number + 1, one.at
                if one.request_id == request_id:
                    found.append(one)
    except PermanentError as error:
        click.echo(f"Warning: {error}", err=True)
        return [], "the noted requests, which cannot be read"
    return found, _looked_through(number, oldest)


def _looked_through(number: int, oldest: datetime | None) -> str:
    if oldest is None:
        return "the noted requests of the API, of which there are none"
    local = oldest.astimezone(settings.get().zone).strftime("%Y-%m-%d %H:%M")
    return f"the {number:,} noted requests of the API, since {local}"


@contextmanager
def _noted() -> Iterator[Redis]:
    """Yield the Redis that has the noted requests; its errors become one line."""
    settings.require("redis_url")
    redis = redis_url.connect(settings.get().redis, timeout_seconds=TIMEOUT_SECONDS)
    try:
        yield redis
    except (RedisError, OSError) as error:
        # Not the whole text: some name the address with its password.
        reason = str(error) if isinstance(error, RedisCluster) else type(error).__name__
        raise PermanentError(
            f"Redis, which has the noted requests, cannot be reached ({reason}): start the stack"
            " with `make run`, or correct REDIS_URL"
        ) from error
    finally:
        redis.close()


def _nothing() -> str:
    if not settings.get().api_requests_kept:
        return "No requests are noted: API_REQUESTS_KEPT is 0."
    return "No requests match."


def _record(one: RecentRequest) -> Record:
    return {
        "at": one.at,
        "caller": one.caller,
        "status": one.status,
        "problem": one.problem,
        "request": one.request,
        "request_id": one.request_id,
        "account": one.account,
        "duration_ms": one.duration_ms,
        "replayed": one.replayed,
        "client": one.client,
    }


def _row(row: RequestRow) -> Record:
    return {
        "at": row.at,
        "table": row.table,
        "id": row.id,
        "detail": row.what,
        "command": row.look,
    }
