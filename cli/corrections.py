"""`billing credit`, `adjust`, `write-off` and `reverse`: credit moved by hand, with a reason."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import click

from billing.credit import corrections
from billing.ledger import Outcome, PostingResult
from cli.accounts import find_or_fail
from cli.options import (
    View,
    actor_option,
    confirm,
    reason_option,
    record_options,
    yes_option,
)
from cli.output import plain, print_record
from cli.parked_leads import request_release
from db.session import transaction

_by_hand: list[Callable[[Any], Any]] = [
    record_options,
    yes_option,
    click.option("--key", help="Idempotency key: a repeat with the same key is applied once."),
    actor_option,
    reason_option,
]

# So that -5 is an amount and not an option.
_NEGATIVE_NUMBERS = {"ignore_unknown_options": True}


def _options_of_corrections(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in _by_hand:
        command = option(command)
    return command


@click.command(context_settings=_NEGATIVE_NUMBERS)
@click.argument("ref")
@click.argument("amount", type=int)
@_options_of_corrections
def credit(
    ref: str, amount: int, reason: str, actor: str, key: str | None, *, yes: bool, view: View
) -> None:
    """Give account REF an AMOUNT of credits, as goodwill.

    \b
    Example:
      billing credit clinic:42 1000 --reason "welcome credit" --actor ops
    """
    _ask("Give {amount:,} credits to {account}?", ref, amount, yes=yes)
    _move(corrections.credit, ref, amount, reason, actor, key, view)


@click.command(context_settings=_NEGATIVE_NUMBERS)
@click.argument("ref")
@click.argument("amount", type=int)
@_options_of_corrections
def adjust(
    ref: str, amount: int, reason: str, actor: str, key: str | None, *, yes: bool, view: View
) -> None:
    """Correct the balance of account REF by AMOUNT.

    AMOUNT may be negative, such as -50.
    """
    _ask("Change the balance of {account} by {amount:+,} credits?", ref, amount, yes=yes)
    _move(corrections.adjust, ref, amount, reason, actor, key, view)


@click.command(name="write-off", context_settings=_NEGATIVE_NUMBERS)
@click.argument("ref")
@click.argument("amount", type=int)
@_options_of_corrections
def write_off(
    ref: str, amount: int, reason: str, actor: str, key: str | None, *, yes: bool, view: View
) -> None:
    """Forgive AMOUNT credits of what account REF owes.

    The oldest debt is forgiven first.
    """
    _ask("Forgive {amount:,} credits that {account} owes?", ref, amount, yes=yes)
    _move(corrections.write_off, ref, amount, reason, actor, key, view)


@click.command()
@click.argument("charge_key", metavar="KEY")
@click.option("--amount", type=int, help="Credits to give back; by default all that are left.")
@_options_of_corrections
def reverse(
    charge_key: str,
    amount: int | None,
    reason: str,
    actor: str,
    key: str | None,
    *,
    yes: bool,
    view: View,
) -> None:
    """Reverse the charge whose idempotency key is KEY.

    The credits go back to the lots that they came from. `billing history REF --wide` shows the
    keys.

    \b
    Example:
      billing reverse lead:L-17:charge --reason "wrong number" --actor ops
    """
    credits_ = "all that is left" if amount is None else f"{amount:,} credits"
    confirm(f"Give back {credits_} of the charge {plain(charge_key)}?", yes=yes)
    key = f"admin:{uuid4()}" if key is None else key
    with transaction() as session:
        result = corrections.reverse(
            session,
            charge_key=charge_key,
            amount=amount,
            reason=reason,
            actor=actor,
            idempotency_key=key,
        )
    _print(result, {"charge": charge_key}, key, view)
    request_release()


def _move(
    rule: Callable[..., PostingResult],
    ref: str,
    amount: int,
    reason: str,
    actor: str,
    key: str | None,
    view: View,
) -> None:
    key = f"admin:{uuid4()}" if key is None else key
    with transaction() as session:
        result = rule(
            session,
            account=ref,
            amount=amount,
            reason=reason,
            actor=actor,
            idempotency_key=key,
        )
    _print(result, {"account": ref, "amount": amount}, key, view)
    request_release()


def _ask(question: str, ref: str, amount: int, *, yes: bool) -> None:
    def asked() -> str:
        with transaction() as session:
            account = find_or_fail(session, ref)
            named = f"{ref} ({plain(account.name)}; its balance is {account.balance:,})"
        return question.format(account=named, amount=amount)

    confirm(asked, yes=yes)


def _print(result: PostingResult, subject: dict[str, object], key: str, view: View) -> None:
    print_record(
        {
            **subject,
            "balance": result.balance_after,
            "transaction_id": result.transaction_id,
            "idempotency_key": key,
            "repeated": result.outcome is Outcome.REPEATED,
        },
        view,
    )
