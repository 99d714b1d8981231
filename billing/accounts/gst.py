"""India's goods and services tax (GST): a customer's state and tax number (GSTIN).

Called by `billing/accounts/changes.py` when an account is opened or changed. A correct check
character does not prove that a number is in use: only the tax portal knows.
"""

import re
from collections.abc import Mapping

from billing.accounts.errors import InvalidAccount

STATES = {
    "01": "Jammu and Kashmir",
    "02": "Himachal Pradesh",
    "03": "Punjab",
    "04": "Chandigarh",
    "05": "Uttarakhand",
    "06": "Haryana",
    "07": "Delhi",
    "08": "Rajasthan",
    "09": "Uttar Pradesh",
    "10": "Bihar",
    "11": "Sikkim",
    "12": "Arunachal Pradesh",
    "13": "Nagaland",
    "14": "Manipur",
    "15": "Mizoram",
    "16": "Tripura",
    "17": "Meghalaya",
    "18": "Assam",
    "19": "West Bengal",
    "20": "Jharkhand",
    "21": "Odisha",
    "22": "Chhattisgarh",
    "23": "Madhya Pradesh",
    "24": "Gujarat",
    "26": "Dadra and Nagar Haveli and Daman and Diu",
    "27": "Maharashtra",
    "29": "Karnataka",
    "30": "Goa",
    "31": "Lakshadweep Islands",
    "32": "Kerala",
    "33": "Tamil Nadu",
    "34": "Puducherry",
    "35": "Andaman and Nicobar Islands",
    "36": "Telangana",
    "37": "Andhra Pradesh",
    "38": "Ladakh",
    "96": "Other Countries",
    "97": "Other Territory",
}
"""Code -> name, as invoices must show them. 25 and 28 ended with the states they were for."""

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_GSTIN = re.compile("[0-9]{2}[A-Z]{5}[0-9]{4}[A-Z][1-9A-Z]Z[0-9A-Z]")
"""An ordinary taxpayer's: state, PAN, number of the registration, Z, check character."""


def state_of(state_code: str | None, gstin: str | None) -> str | None:
    """Return the customer's state code: the one given, else the GSTIN's, else None.

    Raises `InvalidAccount`, which names `state_code` or `gstin`, for an unknown code, a number of
    another form or with a wrong check character, or a number of another state than the given one.
    """
    if state_code is not None and state_code not in STATES:
        raise InvalidAccount("state_code", "must be a GST state code of two digits, such as 27")
    if gstin is None:
        return state_code
    _check_gstin(gstin)
    if state_code not in {None, gstin[:2]}:
        raise InvalidAccount("gstin", f"must be of state {state_code}, not {gstin[:2]}")
    return gstin[:2]


def change(
    state_code: str | None, gstin: str | None, asked: Mapping[str, str | None]
) -> tuple[str | None, str | None]:
    """Return state and GSTIN after a change; the first two arguments are those on record.

    `asked` has `state_code`, `gstin` or both; None removes what it stands for. A state that is
    removed, or was not known, is the GSTIN's if there is one. Otherwise it never changes unasked,
    since it decides how tax is split. Raises `InvalidAccount`, as `state_of`, also if the two
    would not fit each other.
    """
    if "gstin" in asked:
        number = asked["gstin"]
        if number and "state_code" not in asked and state_code not in {None, number[:2]}:
            _check_gstin(number)
            raise InvalidAccount(
                "gstin",
                f"is of state {number[:2]}, the account of {state_code}: give state_code as well",
            )
        return state_of(asked.get("state_code", state_code), number), number
    state_after = state_of(asked["state_code"], None)
    if gstin is not None and state_after not in {None, gstin[:2]}:
        raise InvalidAccount(
            "state_code", f"must be {gstin[:2]}, that of the account's gstin: give gstin as well"
        )
    return (gstin[:2] if gstin is not None else state_after), gstin


def check_character(first_14: str) -> str:
    """Return the check character of the GSTIN that begins with `first_14` (digits and capitals).

    Every second value of 0..35 is doubled; the two base-36 digits of each product are added up.
    """
    products = [_ALPHABET.index(c) * (1 + place % 2) for place, c in enumerate(first_14)]
    total = sum(sum(divmod(product, 36)) for product in products)
    return _ALPHABET[-total % 36]


def _check_gstin(gstin: str) -> None:
    if not _GSTIN.fullmatch(gstin):
        raise InvalidAccount("gstin", "must have the form 27AAPFU0939F1ZV, in capitals")
    if gstin[:2] not in STATES:
        raise InvalidAccount("gstin", f"must begin with a GST state code, not {gstin[:2]}")
    if gstin[-1] != check_character(gstin[:-1]):
        raise InvalidAccount("gstin", "has a wrong check character: is a letter mistyped?")
