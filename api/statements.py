"""`/v1/accounts/{ref}/statement`: opening balance, movements and closing balance of a period."""

from datetime import date, datetime
from http import HTTPMethod

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth
from api.accounts import AccountPath
from api.examples import UNKNOWN_ACCOUNT, Example
from api.fields import Day, Month
from api.problems import bad_field
from api.routes import route
from billing.ledger import Kind
from billing.reports import history, periods
from db.session import snapshot

MOST_DAYS = 366
"""A year with its leap day: somebody waits for the answer."""

_MONTHS = f"must be a month from {periods.FIRST_DAY:%Y-%m} to {periods.LAST_DAY:%Y-%m}"

statements = APIBlueprint("statements", __name__, url_prefix="/v1", abp_tags=[Tag(name="accounts")])


class StatementQuery(BaseModel):
    """The period: a month, or its first and last day."""

    model_config = ConfigDict(extra="forbid")

    month: Month | None = Field(default=None, description="such as 2026-11")
    first: Day | None = Field(
        default=None, alias="from", description="the first day, such as 2026-11-01"
    )
    last: Day | None = Field(
        default=None,
        alias="to",
        description=f"the last day, included; at most {MOST_DAYS} days from the first",
    )

    def days(self) -> tuple[date, date]:
        """Return the first and the last day; raises `Refusal` if the period has no one form."""
        match self.month, self.first, self.last:
            case (date() as month, None, None):
                if not periods.FIRST_DAY <= month <= periods.LAST_DAY:
                    raise bad_field("month", _MONTHS)  # not `from`, which nobody sent
                return periods.days_of_month(month)
            case (None, date() as first, date() as last):
                return first, last
        raise bad_field("month", "must be a month such as 2026-11, or send from and to instead")


class Movement(BaseModel):
    """The ledger rows of one kind in the period."""

    model_config = ConfigDict(from_attributes=True)

    kind: Kind
    rows: int
    amount: int = Field(description="credits; negative if they were taken")


class Statement(BaseModel):
    """An account's period, by when rows were written: opening + the totals = closing."""

    model_config = ConfigDict(from_attributes=True)

    account: str
    timezone: str = Field(description="the account's zone, in which the days are")
    start: datetime = Field(description="the first instant of the first day")
    end: datetime = Field(description="the first instant after the last day, not included")
    opening: int = Field(description="the balance before start, in credits")
    totals: list[Movement] = Field(description="by kind; a kind without rows is left out")
    closing: int = Field(description="the balance at end; now, if end lies ahead")


@route(
    statements,
    HTTPMethod.GET,
    "/accounts/<ref>/statement",
    scope="accounts:read",
    answers=Statement,
    refusals=(404,),
    example=Example(
        path={"ref": "clinic:42"},
        query={"month": "2026-11"},
        answer={
            "account": "clinic:42",
            "timezone": "Asia/Kolkata",
            "start": "2026-10-31T18:30:00Z",
            "end": "2026-11-30T18:30:00Z",
            "opening": 0,
            "totals": [
                {"kind": "bonus", "rows": 1, "amount": 1_500},
                {"kind": "lead_charge", "rows": 1, "amount": -250},
                {"kind": "top_up", "rows": 1, "amount": 10_000},
            ],
            "closing": 11_250,
        },
        refused=(UNKNOWN_ACCOUNT,),
    ),
)
def show(path: AccountPath, query: StatementQuery) -> Statement:
    """Show the statement of a month, or of days; both are of the account's time zone.

    `month`, or `from` and `to`: up to 366 days, both included. The statement of a period that is
    not over may still change.
    """
    first, last = query.days()
    with snapshot(within_limits=True) as session:  # one moment for all figures
        account = auth.account_in_reach(session, path.ref)
        start, end = periods.period_of(first, last, account.timezone, most_days=MOST_DAYS)
        found = history.statement(session, account.ref, start=start, end=end)
        return Statement(
            account=account.ref,
            timezone=account.timezone,
            start=start,
            end=end,
            opening=found.opening,
            totals=[Movement.model_validate(total) for total in found.totals],
            closing=found.closing,
        )
