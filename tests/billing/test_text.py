"""What may become part of the record: nothing that disguises what an auditor reads."""

import pytest
from pydantic import ValidationError

from billing.leads import LeadRequest
from billing.text import problem_with

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
