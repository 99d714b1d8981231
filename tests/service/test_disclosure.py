"""What logs and rows show of what strangers wrote: length and digest, of errors kind and place."""

import hashlib

import pytest

from billing.errors import IdempotencyConflict, UnknownAccount
from billing.leads import UnknownLead
from billing.payments import UnknownPayment
from db.errors import StatementRefused
from errors import BillingError, InvalidField
from service.disclosure import fingerprint, shown_error, shown_path, shown_place, shown_traceback

PRIVATE = "asha@example.org"


def test_a_text_can_be_compared_by_whoever_has_it_and_not_read() -> None:
    digest = hashlib.sha256(PRIVATE.encode()).hexdigest()

    assert fingerprint(PRIVATE) == f"(16 characters, sha256:{digest[:12]})"
    assert fingerprint("x") != fingerprint("y")
    assert fingerprint("\ud800").startswith("(1 character, sha256:")


@pytest.mark.parametrize(
    "error",
    [
        UnknownAccount(PRIVATE),
        UnknownLead(PRIVATE),
        UnknownPayment(PRIVATE),
        IdempotencyConflict(f"lead {PRIVATE}", {"account": ("clinic:1", PRIVATE)}),
        InvalidField("timezone", "must be an IANA name", given=PRIVATE),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_repeats_what_was_sent_to_its_sender_and_not_to_the_log(
    error: BillingError,
) -> None:
    assert PRIVATE in str(error)
    assert PRIVATE not in shown_error(error)
    assert shown_error(error).startswith(f"{type(error).__name__}: ")


def test_an_error_that_is_not_ours_is_its_kind_and_place() -> None:
    try:
        int(PRIVATE)
    except ValueError as error:
        caught = error

    assert shown_error(caught) == "ValueError"
    place = shown_place(caught)
    assert place.startswith("ValueError in test_an_error_that_is_not_ours")
    assert "test_disclosure.py, line " in place


def test_a_traceback_shows_where_it_arose_and_what_caused_it_without_their_texts() -> None:
    try:
        try:
            int(PRIVATE)
        except ValueError as cause:
            raise StatementRefused("22003 numeric_value_out_of_range") from cause
    except StatementRefused as error:
        shown = shown_traceback(error)

    assert "22003 numeric_value_out_of_range" in shown
    assert "which was caused by" in shown
    assert "int(PRIVATE)" in shown
    assert PRIVATE not in shown


def test_a_path_is_its_route_or_its_digest() -> None:
    assert shown_path(f"/v1/leads/{PRIVATE}", "/v1/leads/<lead_id>") == "/v1/leads/<lead_id>"
    assert PRIVATE not in shown_path(f"/{PRIVATE}", None)
