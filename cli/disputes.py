"""`billing disputes`: open, list, show, approve, reject and withdraw disputes."""

import json
from typing import Any
from uuid import uuid4

import click
from sqlalchemy.orm import Session

from billing import disputes as rules
from billing.disputes import UnknownDispute
from cli.accounts import find_or_fail
from cli.options import (
    ListView,
    View,
    actor_option,
    confirm,
    record_options,
    timed_list_options,
    yes_option,
)
from cli.output import Columns, Record, plain, print_list, print_record
from cli.parked_leads import request_release
from db.models import LeadDispute
from db.pages import Page, Wanted
from db.session import transaction
from tasks.operator_lines import created_line, refunded_line

_ID = click.IntRange(1, 2**63 - 1)
_notes = click.option("--notes", required=True, help="Why; the clinic can read it.")


class _Json(click.ParamType[Any]):
    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            self.fail("is not JSON", param, ctx)


@click.group()
def disputes() -> None:
    """Leads that a clinic says were bad.

    \b
    Examples:
      billing disputes list --state open
      billing disputes approve 7 --notes "wrong number, confirmed" --actor ops
    """


@disputes.command(name="open")
@click.argument("lead_id")
@click.option("--account", required=True, help="Whose lead it is.")
@click.option("--type", "dispute_type", required=True, help="One of the catalog's dispute types.")
@click.option("--description", required=True, help="What was wrong.")
@click.option("--evidence", type=_Json(), help="The evidence, as JSON.")
@click.option("--key", help="Idempotency key: a repeat with the same key opens no second dispute.")
@actor_option
@record_options
def open_(
    lead_id: str,
    account: str,
    dispute_type: str,
    description: str,
    evidence: Any,
    key: str | None,
    actor: str,
    *,
    view: View,
) -> None:
    """Dispute the charged lead LEAD_ID."""
    key = str(uuid4()) if key is None else key
    with transaction() as session:
        opened = rules.open_dispute(
            session,
            lead_id=lead_id,
            account=account,
            dispute_type=dispute_type,
            description=description,
            evidence=evidence,
            request_key=f"cli:{key}",
            actor=actor,
        )
    if not opened.repeated:
        line = created_line(opened.dispute.id, lead_id, dispute_type, account=account)
        click.echo(line.text, err=True)
    record = {**_summary(opened.dispute, account), "repeated": opened.repeated}
    print_record({**record, "idempotency_key": key}, view)


@disputes.command(name="list")
@click.option("--state", type=click.Choice(rules.queries.STATES), help="Only this state.")
@click.option("--account", help="Only disputes of this account.")
@timed_list_options
def list_(state: rules.DisputeState | None, account: str | None, *, view: ListView) -> None:
    """List disputes, newest first."""

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        of = find_or_fail(session, account).id if account is not None else None
        found = rules.queries.newest(session, wanted, state=state, account_id=of)
        return found.map(lambda row: _summary(*row))

    print_list(read, view, columns=_COLUMNS, account=account, empty="No disputes match.")


_COLUMNS = Columns(
    "dispute_id lead_id account state created_at",
    more="type credits_refunded resolved_by resolved_at request_id",
)


@disputes.command()
@click.argument("dispute_id", metavar="ID", type=_ID)
@record_options
def show(dispute_id: int, *, view: View) -> None:
    """Show dispute ID with its description and evidence."""
    with transaction() as session:
        record = _in_full(*_find(session, dispute_id))
    print_record(record, view)


@disputes.command()
@click.argument("dispute_id", metavar="ID", type=_ID)
@click.option("--amount", type=int, help="Credits to give back; by default all that are left.")
@_notes
@actor_option
@yes_option
@record_options
def approve(
    dispute_id: int, amount: int | None, notes: str, actor: str, *, yes: bool, view: View
) -> None:
    """Approve dispute ID and give the lead's credits back.

    They go back to the lots that they came from.
    """
    confirm(lambda: _what_approval_gives(dispute_id, amount), yes=yes)
    with transaction() as session:
        done = rules.approve(session, dispute_id, amount=amount, notes=notes, actor=actor)
        record = _summary(*_find(session, dispute_id))
    click.echo(refunded_line(dispute_id, done.credits_refunded).text, err=True)
    print_record(record, view)
    request_release()


@disputes.command()
@click.argument("dispute_id", metavar="ID", type=_ID)
@_notes
@actor_option
@record_options
def reject(dispute_id: int, notes: str, actor: str, *, view: View) -> None:
    """Reject dispute ID; nothing is given back."""
    with transaction() as session:
        rules.reject(session, dispute_id, notes=notes, actor=actor)
        record = _summary(*_find(session, dispute_id))
    print_record(record, view)


@disputes.command()
@click.argument("dispute_id", metavar="ID", type=_ID)
@_notes
@actor_option
@record_options
def withdraw(dispute_id: int, notes: str, actor: str, *, view: View) -> None:
    """Withdraw dispute ID for its clinic.

    The clinic may dispute the lead again.
    """
    with transaction() as session:
        rules.withdraw(session, dispute_id, notes=notes, actor=actor)
        record = _summary(*_find(session, dispute_id))
    print_record(record, view)


def _what_approval_gives(dispute_id: int, amount: int | None) -> str:
    with transaction() as session:
        dispute, account = _find(session, dispute_id)
    credits_ = "all credits that are left" if amount is None else f"{amount:,} credits"
    return f"Give back {credits_} of lead {plain(dispute.lead_id)} to {account}?"


def _find(session: Session, dispute_id: int) -> tuple[LeadDispute, str]:
    found = rules.queries.find(session, dispute_id)
    if found is None:
        raise UnknownDispute(dispute_id)
    return found[0], found[1]


def _summary(dispute: LeadDispute, account: str) -> Record:
    return {
        "dispute_id": dispute.id,
        "lead_id": dispute.lead_id,
        "account": account,
        "type": dispute.type,
        "state": dispute.state,
        "credits_refunded": dispute.credits_refunded,
        "created_at": dispute.created_at,
        "resolved_by": dispute.resolved_by,
        "resolved_at": dispute.resolved_at,
        "request_id": dispute.request_id,
    }


def _in_full(dispute: LeadDispute, account: str) -> Record:
    return {
        **_summary(dispute, account),
        "description": dispute.description,
        "evidence": dispute.evidence,
        "opened_by": dispute.opened_by,
        "notes": dispute.notes,
    }
