"""`/v1/accounts/{ref}/transactions` and `/payments`: lists of an account, newest first, in pages.

The next page starts after the last row of this one, so new rows shift nothing.
"""

from datetime import datetime
from http import HTTPMethod
from typing import Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth
from api.accounts import AccountPath
from api.examples import UNKNOWN_ACCOUNT, Example
from api.fields import Id, Instant, PageQuery
from api.pages import PAGE, page_of
from api.problems import bad_field
from api.routes import route
from billing import payments as rules
from billing.ledger import Kind
from billing.payments.queries import State
from billing.reports import history
from db.session import transaction

account_lists = APIBlueprint(
    "account_lists", __name__, url_prefix="/v1", abp_tags=[Tag(name="accounts")]
)


class TransactionQuery(PageQuery):
    """Filters; one that is left out does not limit the list."""

    kind: Kind | None = Field(default=None, description="only rows of this kind")
    since: Instant | None = Field(
        default=None, description="only rows of what happened at this time or later"
    )
    until: Instant | None = Field(
        default=None, description="only rows of what happened before this time"
    )
    lead_id: Id | None = Field(default=None, description="only rows of this lead")
    payment_id: Id | None = Field(
        default=None, description="only rows of this payment, by the gateway's id"
    )


class Transaction(BaseModel):
    """One row of the ledger."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    version: int = Field(description="numbers the account's rows without a gap")
    amount: int = Field(description="credits; negative if they were taken")
    balance_after: int
    kind: Kind
    idempotency_key: str
    description: str
    lead_id: str | None
    payment_id: str | None
    event_at: datetime = Field(description="when it happened")
    created_at: datetime = Field(description="when it was written")


class Transactions(BaseModel):
    """A page of transactions, newest first."""

    transactions: list[Transaction]
    next: str | None = Field(description="`after` of the next page; null on the last page")


class PaymentQuery(PageQuery):
    """Filters; one that is left out does not limit the list."""

    state: State | None = Field(default=None, description="only payments in this state")


class Payment(BaseModel):
    """A payment of an account."""

    model_config = ConfigDict(from_attributes=True)

    payment_id: str = Field(description="the gateway's", validation_alias="gateway_payment_id")
    gateway: Literal["razorpay", "stripe"]
    order_id: str | None = Field(description="the gateway's", validation_alias="gateway_order_id")
    state: State
    reason: str | None = Field(description="why it is quarantined or unmatched")
    amount_paise: int
    currency: str
    refunded_paise: int
    credits: int = Field(description="what the payment brought, without the bonus")
    bonus_credits: int
    method: str | None
    created_at: datetime
    credited_at: datetime | None


class Payments(BaseModel):
    """A page of payments, newest first."""

    payments: list[Payment]
    next: str | None = Field(description="`after` of the next page; null on the last page")


@route(
    account_lists,
    HTTPMethod.GET,
    "/accounts/<ref>/transactions",
    scope="accounts:read",
    answers=Transactions,
    refusals=(404,),
    example=Example(
        path={"ref": "clinic:42"},
        query={"kind": "lead_charge", "since": "2026-11-01T00:00:00Z"},
        answer={
            "transactions": [
                {
                    "id": 57,
                    "version": 3,
                    "amount": -250,
                    "balance_after": 11_250,
                    "kind": "lead_charge",
                    "idempotency_key": "lead:L-17:charge",
                    "description": "Lead L-17, package of 1200000 paise",
                    "lead_id": "L-17",
                    "payment_id": None,
                    "event_at": "2026-11-21T04:15:00Z",
                    "created_at": "2026-11-21T04:15:02Z",
                }
            ],
            "next": None,
        },
        refused=(UNKNOWN_ACCOUNT,),
    ),
)
def transactions(path: AccountPath, query: TransactionQuery) -> Transactions:
    """List the ledger rows of an account, 20 a page, newest first."""
    if query.since and query.until and query.until < query.since:
        raise bad_field("until", "must not be before since")
    wanted = history.Filter(query.kind, query.since, query.until, query.lead_id, query.payment_id)
    with transaction() as session:
        account = auth.account_in_reach(session, path.ref)
        found = history.list_transactions(
            session, account.ref, wanted=wanted, before_version=query.after, limit=PAGE + 1
        )
    page, more = page_of(found)
    return Transactions(
        transactions=[Transaction.model_validate(row) for row in page],
        next=str(page[-1].version) if more else None,
    )


@route(
    account_lists,
    HTTPMethod.GET,
    "/accounts/<ref>/payments",
    scope="payments:read",
    answers=Payments,
    refusals=(404,),
    example=Example(
        path={"ref": "clinic:42"},
        query={"state": "captured"},
        answer={
            "payments": [
                {
                    "payment_id": "pay_RkXcP4mWz0sLhE",
                    "gateway": "razorpay",
                    "order_id": "order_RkXb1yQ2vT8aNd",
                    "state": "captured",
                    "reason": None,
                    "amount_paise": 1_000_000,
                    "currency": "INR",
                    "refunded_paise": 0,
                    "credits": 10_000,
                    "bonus_credits": 1_500,
                    "method": "upi",
                    "created_at": "2026-11-20T04:40:00Z",
                    "credited_at": "2026-11-20T04:40:00Z",
                }
            ],
            "next": None,
        },
        refused=(UNKNOWN_ACCOUNT,),
    ),
)
def payments(path: AccountPath, query: PaymentQuery) -> Payments:
    """List the payments of an account, 20 a page, newest first."""
    with transaction() as session:
        account = auth.account_in_reach(session, path.ref)
        found = rules.queries.of_account(
            session, account.id, state=query.state, before_id=query.after, limit=PAGE + 1
        )
    page, more = page_of(found)
    return Payments(
        payments=[Payment.model_validate(row) for row in page],
        next=str(page[-1].id) if more else None,
    )
