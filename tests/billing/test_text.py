"""What may become part of the record: nothing that disguises what an auditor reads."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ValidationError, model_validator

from billing.leads import LeadRequest
from billing.text import field_problems, problem_with, recordable, validation_problems

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


def test_an_empty_text_is_recordable_only_on_request() -> None:
    assert Inner(key="k", note="").note == ""
    with pytest.raises(ValidationError, match="must not be empty"):
        Inner(key="")
