"""`billing plans`: plans of accounts; years that were paid outside of a gateway."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import uuid4

import click

from billing import plans as rules
from billing.plans import RenewalStatus
from billing.plans.manual_years import AddedYear, ManualYear
from billing.plans.overview import Overview
from cli.accounts import find_or_fail
from cli.options import actor_option, json_option, limit_option, page, reason_option
from cli.output import Record, print_json, print_record, print_records
from cli.parked_leads import request_release
from cli.times import INSTANT
from db.models import PlanTerm
from db.session import snapshot, transaction

_by_hand: list[Callable[[Any], Any]] = [
    json_option,
    click.option("--paid-at", type=INSTANT, help="When the money arrived; by default now."),
    click.option("--key", help="Idempotency key: a repeat with the same key adds no second year."),
    actor_option,
    reason_option,
]


def _options_by_hand(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in _by_hand:
        command = option(command)
    return command


@click.group()
def plans() -> None:
    """Show plans; add years that were paid outside of a gateway.

    \b
    Examples:
      billing plans list --state degraded
      billing plans renew pharmacy:7 --reason "bank transfer 4711" --actor ops
    """


@plans.command()
@click.argument("ref")
@json_option
def show(ref: str, *, as_json: bool) -> None:
    """Show the plan of account REF.

    Its state, its entitlements, and the years that were paid.
    """
    with snapshot() as session:  # one moment for all that is shown
        account = find_or_fail(session, ref)
        overview = rules.overview.get_overview(session, account)
        entitled = rules.entitlements.get_entitlements(session, account)
        years = [_year(term) for term in rules.list_terms(session, account.id)]
    allowed = {name: asdict(found) for name, found in entitled.entitlements.items()}
    if as_json:
        status = {"service_renewal_status": entitled.service_renewal_status}
        print_json({**asdict(overview), **status, "entitlements": allowed, "terms": years})
        return
    print_record(_lines(overview, entitled.service_renewal_status), as_json=False)
    records = [
        {"entitlement": name, **found, "allowed": "yes" if found["allowed"] else "no"}
        for name, found in allowed.items()
    ]
    print_records(records, as_json=False, empty="The catalog has no entitlements.")
    print_records(years, as_json=False, empty="No year was paid.")


@plans.command(name="list")
@click.option(
    "--state", type=click.Choice([s.value for s in RenewalStatus]), help="Only this state."
)
@limit_option
@json_option
def list_(state: str | None, limit: int | None, *, as_json: bool) -> None:
    """List plans by due day, the most overdue first."""
    with transaction() as session:
        found = rules.overview.list_plans(
            session,
            state=RenewalStatus(state) if state else None,
            limit=page(limit, as_json=as_json),
        )
    print_records([asdict(one) for one in found], as_json=as_json, empty="No plans match.")


@plans.command()
@click.argument("ref")
@click.option("--plan", required=True, help="Its name in the catalog, such as pharmapulse_one.")
@_options_by_hand
def activate(
    ref: str,
    plan: str,
    reason: str,
    actor: str,
    key: str | None,
    paid_at: datetime | None,
    *,
    as_json: bool,
) -> None:
    """Begin a plan of account REF that was paid outside of a gateway.

    For example by bank transfer.
    """
    wish = ManualYear(ref, reason, actor, str(uuid4()) if key is None else key, paid_at)
    with transaction() as session:
        added = rules.manual_years.activate(session, wish, plan=plan)
    _print(added, wish, as_json=as_json)


@plans.command()
@click.argument("ref")
@_options_by_hand
def renew(
    ref: str,
    reason: str,
    actor: str,
    key: str | None,
    paid_at: datetime | None,
    *,
    as_json: bool,
) -> None:
    """Add a year, paid outside of a gateway, to the plan of REF."""
    wish = ManualYear(ref, reason, actor, str(uuid4()) if key is None else key, paid_at)
    with transaction() as session:
        added = rules.manual_years.renew(session, wish)
    _print(added, wish, as_json=as_json)


def _print(added: AddedYear, wish: ManualYear, *, as_json: bool) -> None:
    print_record({**asdict(added), "key": wish.key}, as_json=as_json)
    request_release()


def _year(term: PlanTerm) -> Record:
    return {
        "number": term.number,
        "kind": term.kind,
        "starts_on": term.starts_on,
        "ends_on": term.ends_on,
        "paid_at": term.paid_at,
        "paid_by": term.request_key,
        "actor": term.actor,
    }


def _lines(overview: Overview, status: str) -> Record:
    """Return an account's plan as lines for a person."""
    plan, renewal, grant = overview.plan, overview.renewal, overview.next_grant
    return {
        "account": overview.account,
        "plan_type": plan and plan.plan_type,
        "service_renewal_status": status,
        "purchased_at": plan and plan.purchased_at,
        "due_on": renewal and renewal.due_on,
        "service_renewal_next_due": renewal and renewal.service_renewal_next_due,
        "grace_ends_at": renewal and renewal.grace_ends_at,
        "days_left": renewal and renewal.days_left,
        "branches": plan and plan.branches,
        "features": plan and ", ".join(plan.features),
        "next_grant": grant and f"{grant.month}: {grant.credits:,} at {grant.at.isoformat()}",
        "balance": overview.balance,
        "held": overview.held,
        "available": overview.available,
        "overdraft_limit": overview.overdraft_limit,
        "alert_level": overview.alert_level,
        "banner": overview.banner and f"{overview.banner.level}: {overview.banner.text}",
    }
