"""`billing credit`, `adjust`, `write-off` and `reverse`: credit moved by hand, with a reason."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import click

from billing.credit import corrections as admin
from billing.ledger import Outcome, PostingResult
from cli.output import json_option, print_record
from cli.release import release_parked
from db.session import transaction

_by_hand: list[Callable[[Any], Any]] = [
    json_option,
    click.option("--key", help="Idempotency key: the same key and content is applied once."),
    click.option("--actor", required=True, help="Who does it, such as your name."),
    click.option("--reason", required=True, help="What an auditor will read."),
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
    """Give account REF an AMOUNT of credits, as goodwill."""
    _move(admin.credit, ref, amount, reason, actor, key, as_json=as_json)


@click.command(context_settings=_NEGATIVE_NUMBERS)
@click.argument("ref")
@click.argument("amount", type=int)
@_options_of_corrections
def adjust(
    ref: str, amount: int, reason: str, actor: str, key: str | None, *, as_json: bool
) -> None:
    """Correct the balance of account REF by AMOUNT, positive or negative."""
    _move(admin.adjust, ref, amount, reason, actor, key, as_json=as_json)


@click.command(name="write-off", context_settings=_NEGATIVE_NUMBERS)
@click.argument("ref")
@click.argument("amount", type=int)
@_options_of_corrections
def write_off(
    ref: str, amount: int, reason: str, actor: str, key: str | None, *, as_json: bool
) -> None:
    """Forgive an AMOUNT of what account REF owes, the oldest debt first."""
    _move(admin.write_off, ref, amount, reason, actor, key, as_json=as_json)


@click.command()
@click.argument("charge_key", metavar="KEY")
@click.option("--amount", type=int, help="Credits to give back; by default what is left.")
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
    """Give back the charge whose idempotency key is KEY, to the lots it came from.

    `billing history REF` shows the keys, such as lead:L-17:charge.
    """
    key = f"admin:{uuid4()}" if key is None else key
    with transaction() as session:
        result = admin.reverse(
            session,
            charge_key=charge_key,
            amount=amount,
            reason=reason,
            actor=actor,
            idempotency_key=key,
        )
    _print(result, {"charge": charge_key}, key, as_json=as_json)
    release_parked()


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
    release_parked()


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
