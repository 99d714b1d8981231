"""Leads that were charged and disputed, for the tests of disputes and quality scores."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from billing import audit, disputes
from billing.leads import LeadRequest, charge_leads
from db.models import LeadDispute
from db.session import transaction
from errors import PermanentError
from tests.billing.given import rows
from tests.stack_process import eventually

RS_6000 = 600_000  # costs 180 credits


def charge(*lead_ids: str, account: str = "clinic:42", source: str | None = None) -> None:
    """Leads that ask for a package of Rs 6,000, charged or parked."""
    requests = [
        LeadRequest(lead_id=id_, account=account, package_price_paise=RS_6000, source=source)
        for id_ in lead_ids
    ]
    with transaction() as session:
        charge_leads(session, requests, actor="test")


def dispute(lead_id: str = "L-1", *, key: str | None = None, **more: Any) -> int:
    """Open a dispute; its id."""
    fields = {
        "account": "clinic:42", "dispute_type": "wrong_number", "description": "No such person",
        "actor": "test", **more,
    }  # fmt: skip
    with transaction() as session:
        opened = disputes.open_dispute(
            session, lead_id=lead_id, request_key=key or f"test:{lead_id}", **fields
        )
    return opened.dispute.id


def approve(
    id_: int, *, amount: Any = None, notes: str = "called, true", actor: str = "ops"
) -> LeadDispute:
    with transaction() as session:
        return disputes.approve(session, id_, amount=amount, notes=notes, actor=actor)


def reject(id_: int, *, notes: str = "called, untrue", actor: str = "ops") -> LeadDispute:
    with transaction() as session:
        return disputes.reject(session, id_, notes=notes, actor=actor)


def withdraw(id_: int, *, notes: str | None = None, actor: str = "clinic") -> LeadDispute:
    with transaction() as session:
        return disputes.withdraw(session, id_, notes=notes, actor=actor)


def meanwhile(first: Callable[[Session], object], second: Callable[[], object]) -> object:
    """Do `second` while `first` is done and not committed; its answer or refusal.

    `second` must come to wait for `first`, which is then committed.
    """

    def ask() -> object:
        try:
            with audit.asked_by("test", door="cli"):
                return second()
        except PermanentError as error:
            return error

    with ThreadPoolExecutor(1) as pool:
        with transaction() as session:
            first(session)
            answer = pool.submit(ask)
            eventually("it waits", lambda: rows(_WAITING)[0][0])
        return answer.result()


_WAITING = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def dispute_all(ids: list[str]) -> None:
    """Pending disputes of many leads, without the rules."""
    with transaction() as session:
        session.execute(
            text(
                "INSERT INTO lead_disputes (lead_id, account_id, type, description, state,"
                " request_key, opened_by, created_at)"
                " SELECT lead_id, account_id, 'spam', 'x', 'pending', lead_id, 'test', created_at"
                "   FROM lead_charges WHERE lead_id = ANY(:ids)"
            ),
            {"ids": ids},
        )


def states() -> list[tuple[object, ...]]:
    """(lead, state, credits refunded) of every dispute, oldest first."""
    return list(rows("SELECT lead_id, state, credits_refunded FROM lead_disputes ORDER BY id"))
