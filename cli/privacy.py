"""`billing privacy`: erase what the database holds of one person."""

import sys
from collections.abc import Sequence

import click

from billing.privacy import Identity, erasure
from billing.privacy.erasure import Erased, Found
from cli.options import View, actor_of_the_log_option, reason_option, table_options
from cli.output import Columns, Record, is_for_people, print_json, print_records
from db.roles import Role
from db.session import snapshot, transaction
from errors import PermanentError


@click.group()
def privacy() -> None:
    """Erase the personal data of one person.

    \b
    Example:
      billing privacy erase --email asha@example.in --phone +919876543210 --reason "request 7"
    """


@privacy.command()
@click.option("--email", "emails", multiple=True, help="An e-mail address of the person.")
@click.option("--phone", "phones", multiple=True, help="A phone number; its last ten digits count.")
@click.option("--vpa", "vpas", multiple=True, help="A UPI address, such as asha@okbank.")
@click.option("--lead", "leads", multiple=True, help="A lead about the person.")
@click.option("--payment", "payments", multiple=True, help="A payment of the person: its id.")
@click.option("--account", "accounts", multiple=True, help="An account that is the person's own.")
@click.option("--dead", "dead_too", is_flag=True, help="Dead events too: they cannot be replayed.")
@click.option("--dry-run", is_flag=True, help="Only show what would be erased.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@actor_of_the_log_option
@reason_option
@table_options
def erase(
    reason: str, *, dead_too: bool, dry_run: bool, yes: bool, view: View, **known: tuple[str, ...]
) -> None:
    """Blank what the database holds of one person.

    The person is known by any of the options together; each may be given several times. Rows
    that name the person lose what was written about the person; ids, amounts and times stay. The
    ledger and the audit log stay whole. It works as the owner (DATABASE_OWNER_URL), reads every
    body that is left, and cannot be undone.

    \b
    Example:
      billing privacy erase --lead L-17 --reason "request 7" --dry-run
    """
    identity = Identity(**known)
    with snapshot() as session:
        found = erasure.find(session, identity, dead_too=dead_too)
    erasure.check_reason(identity, reason)
    if not view.as_json:
        _print(found, None, view)
    sure = not dry_run and (yes or _confirmed(found))
    erased = None
    if sure:
        with transaction(Role.OWNER) as session:
            erased = erasure.erase(session, identity, found, reason=reason, dead_too=dead_too)
    if view.as_json:
        _print(found, erased, view)
    elif erased is not None and is_for_people(view):
        click.echo(f"\nErased; see `billing audit-log --subject {erased.subject}`.")
    if not (sure or dry_run):
        raise PermanentError("nothing was erased: repeat it with --yes")


def _confirmed(found: Sequence[Found]) -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    rows = sum(len(one.keys) for one in found)
    return click.confirm(f"\nErase it (rows: {rows:,})? It cannot be undone.")


def _print(found: Sequence[Found], erased: Erased | None, view: View) -> None:
    tables: list[Record] = [
        {
            "table": one.table,
            "rows": len(one.keys),
            "waiting": len(one.waiting),
            "blanked": ", ".join(one.columns),
        }
        for one in found
    ]
    kept: list[Record] = [
        {"column": column, "holds": holds, "why": why}
        for column, holds, why in erasure.kept_columns()
    ]
    if view.as_json:
        print_json(
            {
                "erased": erased is not None,
                "subject": erased.subject if erased else None,
                "tables": tables,
                "kept": kept,
            }
        )
        return
    print_records(tables, view, columns=Columns("table rows waiting blanked"), empty="")
    if not is_for_people(view):
        return
    if any(one.waiting for one in found):
        click.echo(
            "\nWaiting rows are still worked on, or dead and to be replayed: they stay. Look at"
            " them, then repeat this (--dead: dead ones too)."
        )
    click.echo("\nNot erased:")
    print_records(kept, view, columns=Columns("column why", more="holds"), empty="")
