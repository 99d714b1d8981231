"""What a clawback is to have, from loaded values alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.payments.clawback_decision import Case, Credits, Position, Settlement, decide

ALL = Credits(5_000, 500)
HALF = Credits(2_500, 250)
PRICE = 500_000

NEW = Case(
    wanted="taken",
    position="none",
    own=Credits(),
    amount_paise=PRICE,
    payment_paise=PRICE,
    brought=ALL,
    others_paise=0,
    others=Credits(),
    unspent=10_000,
    caps=False,
)
"""All money of a payment is back, and none of its credit was taken yet."""


def test_all_money_takes_all_credit() -> None:
    assert decide(NEW) == Settlement("taken", owed=ALL, credits=ALL, unspent=5_500, takes=ALL)


def test_a_part_takes_its_share_rounded_down() -> None:
    assert decide(replace(NEW, amount_paise=PRICE // 2 - 1)).takes == Credits(2_499, 249)


def test_what_was_spent_is_taken_too_if_it_may_be_owed() -> None:
    settlement = decide(replace(NEW, unspent=300))

    assert (settlement.takes, settlement.unspent) == (ALL, 300)


def test_under_the_cap_only_unspent_credit_is_taken_and_paid_credit_first() -> None:
    assert decide(replace(NEW, unspent=300, caps=True)).takes == Credits(300, 0)
    assert decide(replace(NEW, unspent=5_100, caps=True)).takes == Credits(5_000, 100)


def test_a_reservation_holds_what_is_unspent_and_notes_the_whole_share() -> None:
    settlement = decide(replace(NEW, wanted="reserved", unspent=300))

    assert settlement == Settlement("reserved", owed=ALL, credits=ALL, unspent=300)


def test_a_reservation_under_the_cap_notes_what_it_holds() -> None:
    settlement = decide(replace(NEW, wanted="reserved", unspent=300, caps=True))

    assert (settlement.credits, settlement.unspent) == (Credits(300, 0), 300)


def test_what_is_reserved_under_the_cap_is_taken_whatever_else_is_spent() -> None:
    reserved = replace(NEW, position="reserved", own=Credits(300, 0), unspent=0, caps=True)

    assert decide(reserved).takes == Credits(300, 0)


def test_one_that_took_takes_only_what_its_share_has_grown_by() -> None:
    taken = replace(NEW, position="taken", own=HALF)

    settlement = decide(taken)

    assert (settlement.takes, settlement.credits) == (HALF, ALL)
    assert decide(replace(taken, own=ALL)).takes == Credits()


def test_growth_is_capped_too() -> None:
    settlement = decide(replace(NEW, position="taken", own=HALF, unspent=10, caps=True))

    assert (settlement.takes, settlement.credits) == (Credits(10, 0), Credits(2_510, 250))


def test_the_second_on_the_same_money_finds_nothing_left() -> None:
    second = replace(NEW, others_paise=PRICE, others=ALL)

    assert decide(second).takes == Credits()
    ended = replace(second, wanted="none", position="taken")
    assert decide(ended) == Settlement("none", reopens_others=True)


@pytest.mark.parametrize("position", ["reserved", "taken"])
def test_one_that_ends_alone_on_its_money_reopens_nothing(position: Position) -> None:
    ended = replace(NEW, wanted="none", position=position, own=HALF, amount_paise=PRICE // 2)

    assert decide(replace(ended, others_paise=PRICE // 2, others=HALF)) == Settlement("none")


def test_one_that_never_had_credit_reopens_nothing() -> None:
    assert decide(replace(NEW, wanted="none", others_paise=PRICE)) == Settlement("none")


def test_what_an_earlier_one_let_go_the_next_does_not_take() -> None:
    later = replace(NEW, amount_paise=PRICE // 2, others_paise=PRICE // 2, caps=True)

    assert decide(later).takes == HALF
    assert decide(replace(later, caps=False)).takes == ALL


def test_a_payment_of_no_money_owes_nothing() -> None:
    assert decide(replace(NEW, payment_paise=0, brought=Credits())).takes == Credits()


@given(
    parts=st.lists(st.integers(1, 1_000_000), min_size=1, max_size=12),
    paid=st.integers(0, 10_000_000),
    bonus=st.integers(0, 10_000_000),
)
def test_parts_add_up_to_the_credit_of_the_payment(parts: list[int], paid: int, bonus: int) -> None:
    paise, taken = 0, Credits()
    for part in parts:
        case = replace(
            NEW,
            amount_paise=part,
            payment_paise=sum(parts),
            brought=Credits(paid, bonus),
            others_paise=paise,
            others=taken,
        )
        paise, taken = paise + part, taken.plus(decide(case).takes)
    assert taken == Credits(paid, bonus)


CREDITS = st.builds(Credits, st.integers(0, 6_000), st.integers(0, 600))


@given(
    st.builds(
        Case,
        wanted=st.sampled_from(("reserved", "taken")),
        position=st.sampled_from(("none", "taken")),
        own=CREDITS,
        amount_paise=st.integers(1, PRICE),
        payment_paise=st.integers(0, PRICE),
        brought=CREDITS,
        others_paise=st.integers(0, PRICE),
        others=CREDITS,
        unspent=st.integers(0, 6_000),
        caps=st.just(True),
    )
)
def test_under_the_cap_nothing_is_ever_owed(case: Case) -> None:
    settlement = decide(case)

    assert settlement.takes.total <= case.unspent
    assert settlement.unspent <= settlement.owed.total <= case.brought.total
