"""What may become part of the record: nothing that disguises what an auditor reads."""

import re
import unicodedata
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from sqlalchemy import text

from api.leads import LeadPath
from billing import accounts
from billing.credit import corrections
from billing.leads import LeadRequest
from billing.leads.status import find_status
from billing.ledger import Kind
from billing.text import (
    IGNORABLE,
    field_problems,
    problem_with,
    problem_with_identity,
    recordable,
    validation_problems,
)
from billing_client.checks import checked_id
from billing_client.errors import InvalidRequest
from billing_client.leads import checked
from db.session import transaction
from errors import InvalidField
from gateways.entity import Entity
from gateways.errors import UnreadableAnswer
from tasks.returns.calls import _Request as RefundRequest
from tests.billing.given import balance, give, open_account, post_all, take
from tests.conftest import owner

DISGUISES = [
    "\u061c", "\u200b", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202b", "\u202c",
    "\u202d", "\u202e", "\u2060", "\u2066", "\u2067", "\u2068", "\u2069", "\ufeff",
]  # fmt: skip


@pytest.mark.parametrize("hidden", DISGUISES, ids=lambda letter: f"U+{ord(letter):04X}")
def test_what_is_not_seen_and_changes_what_is_seen_is_refused_by_its_number(hidden: str) -> None:
    for value in (hidden, f"L-1{hidden}", f"a{hidden}b"):
        problem = problem_with(value, max_length=10)
        assert problem is not None
        assert f"U+{ord(hidden):04X}" in problem or problem == "must not be empty"


@pytest.mark.parametrize(
    "value",
    ["क्\u200dष", "ন্\u200cত", "Ünï códé 漢字", "مرحبا", "non\u00a0breaking", "\u202f5", "👩\u200d⚕️"],
)
def test_scripts_are_written_as_they_are(value: str) -> None:
    assert problem_with(value, max_length=100) is None


def test_a_lead_whose_id_is_disguised_is_refused_at_the_door() -> None:
    with pytest.raises(ValidationError, match=r"must not hold U\+202E"):
        LeadRequest(lead_id="L-1\u202e", account="clinic:42", package_price_paise=1)


def _refused(value: str) -> str:
    problem = problem_with_identity(value, max_length=100)
    assert problem is not None, ascii(value)
    return problem


def test_names_hold_nothing_that_is_not_seen() -> None:
    """Each code point that Unicode says to ignore: without the joiners they are 4,172."""
    ignorable = [chr(n) for n in range(0x110000) if re.fullmatch(f"[{IGNORABLE}]", chr(n))]

    assert len(ignorable) == 4_174 - 2  # "Total code points" of DerivedCoreProperties.txt 16.0
    for letter in ignorable:
        assert f"U+{ord(letter):04X}" in _refused(f"L{letter}1")
    # All that unicodedata knows of formats, fillers and selectors is on the list, or is seen.
    for number in range(0x110000):
        name = unicodedata.name(chr(number), "")
        if "VARIATION SELECTOR" in name or name.endswith("HANGUL FILLER") or name == "SOFT HYPHEN":
            assert problem_with_identity(f"L{chr(number)}1", max_length=100), name


def test_the_only_blank_in_a_name_is_the_space_between_two_words() -> None:
    blanks = [
        chr(n)
        for n in range(0x110000)
        if unicodedata.category(chr(n)) in {"Zs", "Zl", "Zp", "Cc"} and chr(n) != " "
    ]
    for blank in [*blanks, "\u2800"]:
        _refused(f"City{blank}Clinic")

    assert problem_with_identity("City Clinic", max_length=100) is None
    for value in (" L-1", "L-1 "):
        assert _refused(value) == "must not begin or end with a space"


@pytest.mark.parametrize(("composed", "other"), [("Café", "Cafe\u0301"), ("Å", "\u212b")])
def test_a_name_has_one_spelling_and_another_one_is_refused_not_changed(
    composed: str, other: str
) -> None:
    assert problem_with_identity(composed, max_length=100) is None
    assert "normal form C (NFC)" in _refused(other)


@pytest.mark.parametrize("joiner", ["\u200c", "\u200d"])
def test_a_joiner_where_no_script_needs_it_makes_no_second_name(joiner: str) -> None:
    for value in (f"L-1{joiner}", f"{joiner}L-1", f"L{joiner}-1", f"क{joiner}ख", f"\u0645{joiner}"):
        assert f"U+{ord(joiner):04X}" in _refused(value)
        lead: dict[str, Any] = {"lead_id": value, "account": "clinic:42", "package_price_paise": 1}
        with pytest.raises(InvalidRequest, match=r"U\+200"):
            checked(lead)
        with pytest.raises(ValidationError, match=r"U\+200"):
            LeadRequest(**lead)


@pytest.mark.parametrize(
    "value",
    [
        "क्\u200dष",
        "ন্\u200cত",
        "র\u200d্যাব",
        "ന്\u200d",
        "\u0645\u06cc\u200c\u0631\u0648\u062f",
        "Ünï códé 漢字",
        "مرحبا",
        "L 1",
    ],
)
def test_scripts_that_need_joiners_can_write_names(value: str) -> None:
    assert problem_with_identity(value, max_length=100) is None


LOOK_ALIKES = [("L\u00ad1", "U+00AD"), ("Cafe\u0301", "NFC"), ("L\u00a01", "U+00A0"), ("L ", "end")]


@pytest.mark.parametrize(("name", "why"), LOOK_ALIKES)
def test_two_names_that_look_the_same_are_not_both_taken_at_any_door(name: str, why: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(why)):
        LeadRequest(lead_id=name, account="clinic:42", package_price_paise=1)
    # What is only noted stops no lead: it is left out.
    lead = LeadRequest(lead_id="L", account="clinic:42", package_price_paise=1, source=name)
    assert lead.source is None
    with pytest.raises(InvalidRequest, match=re.escape(why)):
        checked({"lead_id": name, "account": "clinic:42", "package_price_paise": 1})
    with pytest.raises(UnreadableAnswer, match=re.escape(why)):
        Entity("razorpay", "payment", {"id": name}).identifier("id")
    for field in ("request_id", "requested_by"):
        asked = {"payment_id": "pay_1", "reason": "r", "requested_by": "ops", field: name}
        with pytest.raises(ValidationError, match=re.escape(why)):
            RefundRequest.model_validate(asked)


@pytest.mark.usefixtures("database")
def test_an_account_and_a_correction_get_no_name_that_looks_like_another() -> None:
    for name, why in LOOK_ALIKES:
        with pytest.raises(InvalidField, match=re.escape(why)), transaction() as session:
            accounts.create(session, ref="clinic:1", name=name, product="clinic_leads")
        with pytest.raises(InvalidField, match=re.escape(why)), transaction() as session:
            corrections.credit(
                session, account="clinic:1", amount=1, reason="r", actor="o", idempotency_key=name
            )


@pytest.mark.usefixtures("database")
def test_an_id_on_record_is_found_and_reversed_though_it_would_be_refused_today() -> None:
    # Given a lead that was charged under a name which the rule of today refuses
    old = "L\u00ad1"
    open_account(credits_=1_000)
    charge = take(180, key=f"lead:{old}:charge", lead_id=old)
    post_all(charge)
    with owner() as connection:
        connection.execute(
            text(
                "INSERT INTO lead_charges (lead_id, account_id, package_price_paise, credits,"
                " state, transaction_id, occurred_at, created_at, updated_at)"
                " SELECT lead_id, account_id, 600000, 180, 'charged', id, event_at, created_at,"
                " created_at FROM credit_transactions WHERE lead_id = :old"
            ),
            {"old": old},
        )

    # When it is looked up, and its charge reversed
    with transaction() as session:
        found = find_status(session, old)
    refund = give(
        180, key="back", kind=Kind.LEAD_REFUND, lead_id=old, reverses=charge.idempotency_key
    )
    post_all(refund)[0].applied_or_raise()

    # Then it is there, under the name that it has, and its credit is back
    assert found is not None
    assert found.lead_id == old
    assert balance() == 1_000
    assert LeadPath(lead_id=old).lead_id == checked_id("lead_id", old) == old


class Inner(BaseModel):
    key: Annotated[str, recordable(5)]
    note: Annotated[str, recordable(5, may_be_empty=True)] = ""


class Outer(BaseModel):
    data: Inner

    @model_validator(mode="after")
    def _key_is_not_the_note(self) -> "Outer":
        if self.data.key == self.data.note:
            raise ValueError("the note repeats the key")
        return self


def test_the_problems_of_all_fields_are_one_line_that_repeats_no_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"data": {"key": "private", "note": "a\x00b"}})

    assert field_problems(caught.value) == [
        ("data.key", "must be at most 5 characters, not 7"),
        ("data.note", "must not hold control characters or lone surrogates"),
    ]
    assert validation_problems(caught.value) == (
        "data.key: must be at most 5 characters, not 7;"
        " data.note: must not hold control characters or lone surrogates"
    )


def test_a_problem_of_the_whole_is_named_as_the_caller_wishes() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"data": {"key": "k", "note": "k"}})

    assert validation_problems(caught.value) == "body: the note repeats the key"
    assert field_problems(caught.value, whole="") == [("", "the note repeats the key")]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


def test_the_name_of_an_unknown_field_is_shown_to_its_sender_and_not_to_the_log() -> None:
    with pytest.raises(ValidationError) as caught:
        Closed.model_validate({"asha@example.org": 1, "x" * 500: 1})

    assert [field for field, _ in field_problems(caught.value)] == [
        "asha@example.org",
        "x" * 100 + "...",
    ]
    logged = validation_problems(caught.value)
    assert logged.startswith("(16 characters, sha256:")
    assert "asha" not in logged
    assert "xx" not in logged


def test_an_empty_text_is_recordable_only_on_request() -> None:
    assert Inner(key="k", note="").note == ""
    with pytest.raises(ValidationError, match="must not be empty"):
        Inner(key="")
