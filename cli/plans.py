"""`billing plans`: plans of accounts; years that were paid outside of a gateway."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any
from uuid import uuid4

import click
from sqlalchemy.orm import Session

from billing import plans as rules
from billing.plans import RenewalStatus
from billing.plans.manual_years import AddedYear, ManualYear
from billing.plans.overview import Overview
from cli.accounts import find_or_fail
from cli.options import (
    ListView,
    View,
    actor_option,
    confirm,
    list_options,
    reason_option,
    record_options,
    yes_option,
)
from cli.output import (
    Columns,
    Record,
    plain,
    print_json,
    print_list,
    print_record,
    print_records,
    print_sections,
    zone_of,
)
from cli.parked_leads import request_release
from cli.times import WHEN, When
from db.models import PlanTerm
from db.pages import Page, Wanted
from db.session import snapshot, transaction

_by_hand: list[Callable[[Any], Any]] = [
    record_options,
    yes_option,
    click.option("--paid-at", type=WHEN, help="When the money arrived; by default now."),
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
@record_options
def show(ref: str, *, view: View) -> None:
    """Show the plan of account REF.

    Its state, its entitlements, and the years that were paid.
    """
    with snapshot() as session:  # one moment for all that is shown
        account = find_or_fail(session, ref)
        overview = rules.overview.get_overview(session, account)
        entitled = rules.entitlements.get_entitlements(session, account)
        years = [_year(term) for term in rules.list_terms(session, account.id)]
    allowed = {name: asdict(found) for name, found in entitled.entitlements.items()}
    if view.as_json:
        status = {"service_renewal_status": entitled.service_renewal_status}
        print_json({**asdict(overview), **status, "entitlements": allowed, "terms": years})
        return
    lines = _lines(overview, entitled.service_renewal_status)
    rows: list[Record] = [{"entitlement": name, **found} for name, found in allowed.items()]
    table = partial(print_records, view=view, zone=zone_of(ref))
    print_sections(
        [
            ("", partial(print_record, lines, view)),
            ("", partial(table, rows, empty="The catalog has no entitlements.")),
            ("", partial(table, years, columns=_YEAR_COLUMNS, empty="No year was paid.")),
        ]
    )


_YEAR_COLUMNS = Columns("number kind starts_on ends_on paid_at paid_by actor")


@plans.command(name="list")
@click.option(
    "--state", type=click.Choice([s.value for s in RenewalStatus]), help="Only this state."
)
@click.option(
    "--needs-a-look", is_flag=True, help="Only those put off: their dates cannot be computed."
)
@list_options
def list_(state: str | None, *, needs_a_look: bool, view: ListView) -> None:
    """List plans by due day, the most overdue first."""

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        status = RenewalStatus(state) if state else None
        found = rules.overview.list_plans(
            session, wanted, state=status, needs_a_person=needs_a_look
        )
        return found.map(asdict)

    print_list(read, view, columns=_COLUMNS, empty="No plans match.")


_COLUMNS = Columns(
    "account plan_type service_renewal_status due_on",
    more="service_renewal_next_due grace_ends_at purchased_at problem",
)


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
    paid_at: When | None,
    *,
    yes: bool,
    view: View,
) -> None:
    """Begin a plan of account REF that was paid outside of a gateway.

    For example by bank transfer.
    """
    confirm(f"Begin the plan {plain(plan)} of {plain(ref)}?", yes=yes)
    wish = _wish(ref, reason, actor, key, paid_at)
    with transaction() as session:
        added = rules.manual_years.activate(session, wish, plan=plan)
    _print(added, wish, view)


@plans.command()
@click.argument("ref")
@_options_by_hand
def renew(
    ref: str,
    reason: str,
    actor: str,
    key: str | None,
    paid_at: When | None,
    *,
    yes: bool,
    view: View,
) -> None:
    """Add a year, paid outside of a gateway, to the plan of REF."""
    confirm(f"Add a year to the plan of {plain(ref)}?", yes=yes)
    wish = _wish(ref, reason, actor, key, paid_at)
    with transaction() as session:
        added = rules.manual_years.renew(session, wish)
    _print(added, wish, view)


def _wish(ref: str, reason: str, actor: str, key: str | None, paid_at: When | None) -> ManualYear:
    moment = paid_at.at(zone_of(ref)) if paid_at else None
    return ManualYear(ref, reason, actor, str(uuid4()) if key is None else key, moment)


def _print(added: AddedYear, wish: ManualYear, view: View) -> None:
    print_record({**asdict(added), "key": wish.key}, view)
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
        "next_grant": grant and grant.month,
        "next_grant_credits": grant and grant.credits,
        "next_grant_at": grant and grant.at,
        "balance": overview.balance,
        "held": overview.held,
        "available": overview.available,
        "overdraft_limit": overview.overdraft_limit,
        "alert_level": overview.alert_level,
        "banner": overview.banner and f"{overview.banner.level}: {overview.banner.text}",
    }
