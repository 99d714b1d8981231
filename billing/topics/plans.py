"""The notices of plans and their renewals; written by `billing/plans/`."""

from datetime import date, datetime
from typing import Annotated

from pydantic import Field

from billing.topics.entry import AccountData, Audience, Entry, entry
from billing.topics.names import Topic


class Plan(AccountData):
    """A plan of an account."""

    plan_type: Annotated[str, Field(description="its name in the catalog")]
    service_renewal_status: Annotated[
        str, Field(description="`active`, `due_soon`, `past_due` or `degraded`")
    ]
    due_on: Annotated[
        date, Field(description="the day that the next year is due, in the account's zone")
    ]


class PaidYear(Plan):
    """A plan for which a year was paid."""

    service_renewal_next_due: Annotated[datetime, Field(description="the instant of `due_on`")]
    paid_at: Annotated[datetime, Field(description="when the year was paid")]
    by: Annotated[
        str, Field(description="the payment, such as `payment:razorpay:pay_…`, or `admin`")
    ]


class RenewalState(Plan):
    """A plan whose renewal went to another status."""

    grace_ends_on: Annotated[date, Field(description="the day that the plan is degraded, unpaid")]
    was: Annotated[str, Field(description="the status before")]
    at: Annotated[datetime, Field(description="when it changed")]


class Reminder(Plan):
    """A plan whose next year is to be paid."""

    grace_ends_on: Annotated[date, Field(description="the day that the plan is degraded, unpaid")]
    days: Annotated[int, Field(description="days since `due_on`; negative: until then")]
    at: Annotated[datetime, Field(description="when it was due")]


class RefundedYear(AccountData):
    """A year of a plan whose payment was given back as a whole."""

    payment_id: Annotated[str, Field(description="the gateway's id of the payment")]
    year: Annotated[int, Field(description="the number of the year, from 1")]
    kind: Annotated[str, Field(description="`purchase` or `renewal`")]


_PLAN = {"plan_type": "pharmapulse_one", "due_on": "2027-11-21"}
_ACCOUNT = {"account": "pharmacy:7", "sequence": 5}
_PAID = {
    **_ACCOUNT,
    **_PLAN,
    "service_renewal_status": "active",
    "service_renewal_next_due": "2027-11-20T18:30:00+00:00",
    "paid_at": "2026-11-21T10:00:00+00:00",
    "by": "payment:razorpay:pay_QkB7xVw2mT9dLs",
}
_STANDING = {**_ACCOUNT, **_PLAN, "grace_ends_on": "2027-12-06"}


def _moved(was: str, status: str, at: str) -> dict[str, object]:
    return {**_STANDING, "service_renewal_status": status, "was": was, "at": at}


ENTRIES: dict[Topic, Entry] = {
    Topic.PLAN_ACTIVATED: entry(
        PaidYear,
        "The first year of a plan was paid: the plan begins.",
        Audience.PLATFORM,
        why="The platform opens what the plan brings. The customer has the receipt of the payment.",
        example=_PAID,
    ),
    Topic.PLAN_RENEWED: entry(
        PaidYear,
        "A further year of a plan was paid.",
        Audience.PLATFORM,
        why="The platform shows until when. The customer has the receipt of the payment.",
        example={**_PAID, "due_on": "2028-11-21"}
        | {"service_renewal_next_due": "2028-11-20T18:30:00+00:00"},
    ),
    Topic.PLAN_ACTIVE: entry(
        RenewalState,
        "A plan is active again, because its year was paid.",
        Audience.PLATFORM,
        why="The platform lifts what it had restricted.",
        example=_moved("past_due", "active", "2027-11-25T09:12:00+00:00"),
    ),
    Topic.PLAN_DUE_SOON: entry(
        RenewalState,
        "The next year of a plan is due soon.",
        Audience.PLATFORM,
        why="The platform may show it. The customer gets reminders.",
        example=_moved("active", "due_soon", "2027-10-21T18:30:00+00:00"),
    ),
    Topic.PLAN_PAST_DUE: entry(
        RenewalState,
        "The next year of a plan is due and not paid. The plan works until the grace ends.",
        Audience.PLATFORM,
        why="The platform may show it. The customer gets reminders.",
        example=_moved("due_soon", "past_due", "2027-11-20T18:30:00+00:00"),
    ),
    Topic.PLAN_DEGRADED: entry(
        RenewalState,
        "The grace of an unpaid plan is over: it is restricted until a year is paid.",
        Audience.PLATFORM,
        Audience.CUSTOMER,
        why="The platform restricts the account; the customer learns why, and how to pay.",
        example=_moved("past_due", "degraded", "2027-12-05T18:30:00+00:00"),
    ),
    Topic.PLAN_REFUNDED: entry(
        RefundedYear,
        "All the money of a year of a plan was given back. It goes on until a person decides.",
        Audience.OPERATOR,
        why="What becomes of the plan is an operator's decision. The platform hears of the refund"
        " or the chargeback itself.",
        example={
            **_ACCOUNT,
            "payment_id": "pay_QkB7xVw2mT9dLs",
            "year": 2,
            "kind": "renewal",
        },
    ),
    Topic.RENEWAL_REMINDER: entry(
        Reminder,
        "It is time to remind a customer of the next year of a plan. After a downtime only the"
        " newest reminder is sent.",
        Audience.PLATFORM,
        Audience.CUSTOMER,
        why="The platform reminds on its own pages, the e-mail says how to pay.",
        example={
            **_STANDING,
            "service_renewal_status": "due_soon",
            "days": -7,
            "at": "2027-11-13T18:30:00+00:00",
        },
    ),
}
