"""GST states and numbers: what is taken, and what is refused by name."""

import json

import pytest

import settings
from billing.accounts import InvalidAccount
from billing.accounts.gst import STATES, change, check_character, state_of

VECTORS = settings.PROJECT_DIR.parent / "shared" / "vectors"


# Each by hand, as for 27ABCDE1234F1Z: the values 2 7 10 11 12 13 14 1 2 3 4 15 1 35, every second
# one doubled, 70 = 1 * 36 + 34 counting 35, add up to 180 = 5 * 36, and nothing is missing.
@pytest.mark.parametrize(
    ("first_14", "character"),
    [
        pytest.param("27ABCDE1234F1Z", "0", id="180 is a multiple of 36"),
        pytest.param("29ABCDE1234F1Z", "W", id="184: 32 are missing to 216"),
        pytest.param("07ZZZZZ9999Z1Z", "A", id="314: 10 are missing to 324"),
        pytest.param("27AAPFU0939F1Z", "V", id="221: 31 are missing to 252"),
    ],
)
def test_the_check_character_fills_up_to_a_multiple_of_36(first_14: str, character: str) -> None:
    assert check_character(first_14) == character


def test_the_state_is_the_one_given_or_that_of_the_number_or_unknown() -> None:
    assert state_of("33", None) == "33"
    assert state_of(None, "27ABCDE1234F1Z0") == "27"
    assert state_of("27", "27ABCDE1234F1Z0") == "27"
    assert state_of(None, None) is None


@pytest.mark.parametrize("code", ["", "2", "00", "25", "28", "39", "99", "MH", "027", " 27", "२७"])
def test_a_code_that_no_state_has_is_refused(code: str) -> None:
    with pytest.raises(InvalidAccount) as refused:
        state_of(code, None)
    assert refused.value.field == "state_code"


@pytest.mark.parametrize(
    ("gstin", "problem"),
    [
        pytest.param("", "must have the form", id="empty"),
        pytest.param("27ABCDE1234F1Z", "must have the form", id="without its check character"),
        pytest.param("27ABCDE1234F1Z00", "must have the form", id="too long"),
        pytest.param("27ABCDE1234F1Z0\n", "must have the form", id="a line feed behind it"),
        pytest.param("27abcde1234f1z0", "must have the form", id="small letters"),
        pytest.param("27ABCDE1234F0Z0", "must have the form", id="no registration 0"),
        pytest.param("27ABCDE1234F1Y0", "must have the form", id="no Z"),
        pytest.param("२७ABCDE1234F1Z0", "must have the form", id="other digits"),
        pytest.param("27ABCDE1234F1Z1", "check character", id="another check character"),
        pytest.param("27ABCDE1243F1Z0", "check character", id="two digits in each other's place"),
        pytest.param("28ABCDE1234F1ZY", "state code, not 28", id="of no state"),
    ],
)
def test_a_number_that_cannot_be_is_refused(gstin: str, problem: str) -> None:
    with pytest.raises(InvalidAccount, match=problem) as refused:
        state_of(None, gstin)
    assert refused.value.field == "gstin"


def test_a_number_of_another_state_than_the_one_given_is_refused() -> None:
    with pytest.raises(InvalidAccount, match="must be of state 29, not 27") as refused:
        state_of("29", "27ABCDE1234F1Z0")
    assert refused.value.field == "gstin"


@pytest.mark.skipif(not VECTORS.exists(), reason="the folder of published vectors is not here")
def test_it_agrees_with_what_is_published() -> None:
    samples = json.loads((VECTORS / "gstin.json").read_text())["samples"]
    assert samples
    for sample in samples:
        gstin = sample["gstin"]
        assert check_character(gstin[:-1]) == sample["check_character_computed"]
        assert (gstin[-1] == check_character(gstin[:-1])) is sample["checksum_right"]
    assert json.loads((VECTORS / "gst-state-codes.json").read_text())["codes"] == STATES


MAHARASHTRA, KARNATAKA = "27ABCDE1234F1Z0", "29ABCDE1234F1ZW"


@pytest.mark.parametrize(
    ("on_record", "asked", "after"),
    [
        ((None, None), {"state_code": "33"}, ("33", None)),
        (("33", None), {"state_code": "27"}, ("27", None)),
        (("33", None), {"state_code": None}, (None, None)),
        # A number brings its state if none is known, and keeps the one that is
        ((None, None), {"gstin": MAHARASHTRA}, ("27", MAHARASHTRA)),
        (("27", None), {"gstin": MAHARASHTRA}, ("27", MAHARASHTRA)),
        (("27", MAHARASHTRA), {"gstin": None}, ("27", None)),
        (("27", MAHARASHTRA), {"gstin": None, "state_code": None}, (None, None)),
        (("27", MAHARASHTRA), {"gstin": None, "state_code": "29"}, ("29", None)),
        # A move to another state names both, or leaves the state to the number
        (("27", MAHARASHTRA), {"gstin": KARNATAKA, "state_code": "29"}, ("29", KARNATAKA)),
        (("27", MAHARASHTRA), {"gstin": KARNATAKA, "state_code": None}, ("29", KARNATAKA)),
        # What is so already
        (("27", MAHARASHTRA), {"state_code": "27"}, ("27", MAHARASHTRA)),
        (("27", MAHARASHTRA), {"state_code": None}, ("27", MAHARASHTRA)),
    ],
)
def test_a_change_leaves_a_state_and_a_number_that_fit(
    on_record: tuple[str | None, str | None],
    asked: dict[str, str | None],
    after: tuple[str | None, str | None],
) -> None:
    assert change(*on_record, asked) == after


@pytest.mark.parametrize(
    ("on_record", "asked", "field", "says"),
    [
        (("27", MAHARASHTRA), {"gstin": KARNATAKA}, "gstin", "state 29, the account of 27"),
        (("33", None), {"gstin": MAHARASHTRA}, "gstin", "give state_code as well"),
        (("27", MAHARASHTRA), {"state_code": "29"}, "state_code", "must be 27"),
        (("27", MAHARASHTRA), {"state_code": "28"}, "state_code", "GST state code"),
        (("27", None), {"gstin": KARNATAKA, "state_code": "27"}, "gstin", "of state 27"),
        (("27", None), {"gstin": "27ABCDE1234F1Z1"}, "gstin", "check character"),
        (("27", None), {"gstin": "29ABCDE1234F1Z1"}, "gstin", "check character"),
        (("27", None), {"gstin": ""}, "gstin", "form"),
    ],
)
def test_a_change_never_moves_the_state_unasked(
    on_record: tuple[str | None, str | None], asked: dict[str, str | None], field: str, says: str
) -> None:
    with pytest.raises(InvalidAccount, match=says) as refused:
        change(*on_record, asked)
    assert refused.value.field == field
    assert "ABCDE1234F" not in str(refused.value)  # a number names a person
