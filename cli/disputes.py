"""`billing disputes`: open, list, show, approve, reject and withdraw disputes."""

import json
from typing import Any
from uuid import uuid4

import click
from sqlalchemy.orm import Session

from billing import accounts
from billing import disputes as rules
from billing.disputes import UnknownDispute
from billing.errors import UnknownAccount
from cli.options import actor_option, json_option, limit_option, page
from cli.output import Record, print_record, print_records
from cli.parked_leads import request_release
from db.models import LeadDispute
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
@json_option
def open_(
    lead_id: str,
    account: str,
    dispute_type: str,
    description: str,
    evidence: Any,
    key: str | None,
    actor: str,
    *,
    as_json: bool,
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
        click.echo(created_line(lead_id, dispute_type), err=True)
    record = {**_summary(opened.dispute, account), "repeated": opened.repeated}
    print_record({**record, "idempotency_key": key}, as_json=as_json)


@disputes.command(name="list")
@click.option("--state", type=click.Choice(rules.queries.STATES), help="Only this state.")
@click.option("--account", help="Only disputes of this account.")
@limit_option
@json_option
def list_(
    state: rules.DisputeState | None, account: str | None, limit: int | None, *, as_json: bool
) -> None:
    """List disputes, newest first."""
    with transaction() as session:
        of = accounts.find(session, account) if account is not None else None
        if account is not None and of is None:
            raise UnknownAccount(account)
        found = rules.queries.newest(
            session,
            state=state,
            account_id=of.id if of else None,
            limit=page(limit, as_json=as_json),
        )
    records = [_summary(dispute, ref) for dispute, ref in found]
    print_records(records, as_json=as_json, empty="No disputes match.")


@disputes.command()
@click.argument("dispute_id", metavar="ID", type=_ID)
@json_option
def show(dispute_id: int, *, as_json: bool) -> None:
    """Show dispute ID with its description and evidence."""
    with transaction() as session:
        record = _in_full(*_find(session, dispute_id))
    if not as_json and record["evidence"] is not None:
        record["evidence"] = json.dumps(record["evidence"], ensure_ascii=False)
    print_record(record, as_json=as_json)


@disputes.command()
@click.argument("dispute_id", metavar="ID", type=_ID)
@click.option("--amount", type=int, help="Credits to give back; by default all that are left.")
@_notes
@actor_option
@json_option
def approve(dispute_id: int, amount: int | None, notes: str, actor: str, *, as_json: bool) -> None:
    """Approve dispute ID and give the lead's credits back.

    They go back to the lots that they came from.
    """
    with transaction() as session:
        done = rules.approve(session, dispute_id, amount=amount, notes=notes, actor=actor)
        record = _summary(*_find(session, dispute_id))
    click.echo(refunded_line(dispute_id, done.credits_refunded), err=True)
    print_record(record, as_json=as_json)
    request_release()


@disputes.command()
@click.argument("dispute_id", metavar="ID", type=_ID)
@_notes
@actor_option
@json_option
def reject(dispute_id: int, notes: str, actor: str, *, as_json: bool) -> None:
    """Reject dispute ID; nothing is given back."""
    with transaction() as session:
        rules.reject(session, dispute_id, notes=notes, actor=actor)
        record = _summary(*_find(session, dispute_id))
    print_record(record, as_json=as_json)


@disputes.command()
@click.argument("dispute_id", metavar="ID", type=_ID)
@_notes
@actor_option
@json_option
def withdraw(dispute_id: int, notes: str, actor: str, *, as_json: bool) -> None:
    """Withdraw dispute ID for its clinic.

    The clinic may dispute the lead again.
    """
    with transaction() as session:
        rules.withdraw(session, dispute_id, notes=notes, actor=actor)
        record = _summary(*_find(session, dispute_id))
    print_record(record, as_json=as_json)


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
    }


def _in_full(dispute: LeadDispute, account: str) -> Record:
    return {
        **_summary(dispute, account),
        "description": dispute.description,
        "evidence": dispute.evidence,
        "opened_by": dispute.opened_by,
        "notes": dispute.notes,
    }
