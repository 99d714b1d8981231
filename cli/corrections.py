"""`billing credit`, `adjust`, `write-off` and `reverse`: credit moved by hand, with a reason."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import click

from billing.credit import corrections
from billing.ledger import Outcome, PostingResult
from cli.options import actor_option, json_option, reason_option
from cli.output import print_record
from cli.parked_leads import request_release
from db.session import transaction

_by_hand: list[Callable[[Any], Any]] = [
    json_option,
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
    ref: str, amount: int, reason: str, actor: str, key: str | None, *, as_json: bool
) -> None:
    """Give account REF an AMOUNT of credits, as goodwill.

    \b
    Example:
      billing credit clinic:42 1000 --reason "welcome credit" --actor ops
    """
    _move(corrections.credit, ref, amount, reason, actor, key, as_json=as_json)


@click.command(context_settings=_NEGATIVE_NUMBERS)
@click.argument("ref")
@click.argument("amount", type=int)
@_options_of_corrections
def adjust(
    ref: str, amount: int, reason: str, actor: str, key: str | None, *, as_json: bool
) -> None:
    """Correct the balance of account REF by AMOUNT.

    AMOUNT may be negative, such as -50.
    """
    _move(corrections.adjust, ref, amount, reason, actor, key, as_json=as_json)


@click.command(name="write-off", context_settings=_NEGATIVE_NUMBERS)
@click.argument("ref")
@click.argument("amount", type=int)
@_options_of_corrections
def write_off(
    ref: str, amount: int, reason: str, actor: str, key: str | None, *, as_json: bool
) -> None:
    """Forgive AMOUNT credits of what account REF owes.

    The oldest debt is forgiven first.
    """
    _move(corrections.write_off, ref, amount, reason, actor, key, as_json=as_json)


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
    as_json: bool,
) -> None:
    """Reverse the charge whose idempotency key is KEY.

    The credits go back to the lots that they came from. `billing history REF` shows the keys.

    \b
    Example:
      billing reverse lead:L-17:charge --reason "wrong number" --actor ops
    """
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
    _print(result, {"charge": charge_key}, key, as_json=as_json)
    request_release()


def _move(
    rule: Callable[..., PostingResult],
    ref: str,
    amount: int,
    reason: str,
    actor: str,
    key: str | None,
    *,
    as_json: bool,
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
    _print(result, {"account": ref, "amount": amount}, key, as_json=as_json)
    request_release()


def _print(result: PostingResult, subject: dict[str, object], key: str, *, as_json: bool) -> None:
    print_record(
        {
            **subject,
            "balance": result.balance_after,
            "transaction_id": result.transaction_id,
            "idempotency_key": key,
            "repeated": result.outcome is Outcome.REPEATED,
        },
        as_json=as_json,
    )
