"""Times from outside: what a field accepts PostgreSQL stores, and what is reported has happened."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text

import clock
from api.fields import Instant
from billing import instants
from billing.leads import EventTime
from billing.reports.forecast import forecast
from billing_client.errors import InvalidRequest
from billing_client.leads import checked
from cli.times import INSTANT, LOCAL_INSTANT
from db.bulk import copy_rows, time_array
from db.session import transaction
from tests.billing.given import assert_ledger_is_clean, open_account, post_all, rows, take
from tests.tasks.given import deliver, lead_event, work

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
FAR_EAST = timezone(timedelta(hours=23, minutes=59))
ODD = timezone(timedelta(hours=5, minutes=30, seconds=1, microseconds=1))

_OFFSETS = st.integers(-86_399, 86_399).map(lambda seconds: timedelta(seconds=seconds))
MOMENTS = st.datetimes(timezones=_OFFSETS.map(timezone))
"""Every time that Python knows, at every offset that it reads right (3.11: whole seconds)."""

FIELDS: dict[str, Callable[[datetime], datetime]] = {
    "a query of the API": lambda t: TypeAdapter(Instant).validate_python(t.isoformat()),
    "a lead event": lambda t: TypeAdapter(EventTime).validate_json(
        f'"{t.isoformat()}"', strict=True
    ),
    "an option": lambda t: INSTANT.convert(t.isoformat(), None, None),
    "a local option": lambda t: LOCAL_INSTANT.convert(t.isoformat(), None, None),
    "the client": lambda t: datetime.fromisoformat(
        checked({"lead_id": "L", "account": "a:1", "package_price_paise": 1, "occurred_at": t})[
            "occurred_at"
        ]
    ),
}
"""Each way in for a time; each raises one of `REFUSALS`."""
REFUSALS = (ValidationError, click.BadParameter, InvalidRequest)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("field", FIELDS)
def test_a_time_that_a_field_accepts_is_the_same_instant_in_postgresql(field: str) -> None:
    @given(MOMENTS)
    @example(NOW.astimezone(FAR_EAST))
    @example(NOW.astimezone(ODD))
    @example(datetime.min.replace(tzinfo=FAR_EAST))
    @example(datetime.max.replace(tzinfo=timezone(-timedelta(hours=23))))
    def check(moment: datetime) -> None:
        try:
            accepted = FIELDS[field](moment)
        except REFUSALS:
            return
        assert accepted == moment
        assert accepted.utcoffset() == timedelta(0)
        assert rows("SELECT CAST(:at AS timestamptz)", at=accepted) == [(moment,)]

    check()
    # It is no test of refusals alone.
    assert FIELDS[field](NOW.astimezone(FAR_EAST)) == NOW


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("zone", [FAR_EAST, timezone(-timedelta(hours=20))])
def test_a_lead_with_an_offset_that_postgresql_does_not_read_is_charged(zone: timezone) -> None:
    open_account(credits_=1_000)
    moment = datetime(2026, 11, 21, 10, tzinfo=UTC)
    deliver(lead_event(occurred_at=moment.astimezone(zone).isoformat()))
    work()

    assert rows("SELECT state, last_error FROM inbound_events") == [("done", None)]
    assert rows("SELECT occurred_at FROM lead_charges") == [(moment,)]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("many", [1, 10])
def test_the_ledger_and_its_bulk_statements_write_any_offset_as_the_instant(many: int) -> None:
    open_account(credits_=1_000)
    moment = datetime(2026, 11, 21, 10, tzinfo=UTC)
    post_all(*[take(1, key=f"t-{n}", event_at=moment.astimezone(FAR_EAST)) for n in range(many)])

    assert rows("SELECT DISTINCT event_at FROM credit_transactions WHERE amount < 0") == [(moment,)]
    assert_ledger_is_clean()
    with transaction() as session:
        session.execute(text("CREATE TEMPORARY TABLE times (at timestamptz)"))
        copy_rows(session, "times", ["at"], [(moment.astimezone(ODD),)] * many)
        array = time_array([moment.astimezone(ODD)])
        found = session.scalars(
            text("SELECT at FROM times WHERE at = ANY(CAST(:array AS timestamptz[]))"),
            {"array": array},
        ).all()
    assert found == [moment] * many


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_what_is_reported_has_happened_when_it_is_known(
    reported: datetime, known_at: datetime
) -> None:
    counted = instants.not_ahead(reported, known_at=known_at)

    assert counted <= known_at
    assert counted == reported or reported > known_at


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("source", ["leads", "lead_calls"])
@pytest.mark.parametrize("where", ["lead", "event"])
def test_a_lead_of_a_clock_that_is_ahead_counts_in_the_forecast_from_now_on(
    source: str, where: str
) -> None:
    # Given an account, and a lead whose sender's clock is years ahead
    with clock.frozen(NOW - timedelta(days=10)):
        open_account(credits_=1_000)
    event = lead_event()
    if where == "lead":
        event = lead_event(occurred_at="2030-01-01T00:00:00Z")
    else:
        event["timestamp"] = "2030-01-01T00:00:00Z"

    # When it is charged
    with clock.frozen(NOW):
        deliver(event, source=source)
    with clock.frozen(NOW + timedelta(minutes=1)):
        work(source)
        with transaction() as session:
            found = forecast(session, "clinic:42")

    # Then it happened when it came, and the forecast has seen it
    assert rows("SELECT occurred_at FROM lead_charges") == [(NOW,)]
    assert rows("SELECT event_at FROM credit_transactions WHERE amount < 0") == [(NOW,)]
    assert found.daily[-1] == 180
