"""`GET /v1/accounts`: all that a key reaches, each once, by reference, in pages that stay right."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from billing import accounts
from billing.access import keys as api_keys
from db.roles import Role
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.billing.given import open_account
from tests.billing.plans.given import open_pharmacy

pytestmark = pytest.mark.usefixtures("house")


def make_key(name: str, **more: object) -> str:
    with transaction(Role.OWNER) as session:
        return api_keys.create(session, name=name, **more)  # type: ignore[arg-type]


def open_many(refs: list[str]) -> None:
    with transaction() as session:
        for ref in refs:
            accounts.create(session, ref=ref, name="City Clinic", product="clinic_leads")


def page(api: ApiProcess, key: str = HOUSE_KEY, **query: str) -> dict[str, Any]:
    answer = api.ask(f"/v1/accounts?{urlencode(query)}", key)
    assert answer.status == 200, answer.body
    shown: dict[str, Any] = answer.json
    assert shown.keys() == {"accounts", "next"}
    return shown


def pages_from(api: ApiProcess, after: str) -> Iterator[list[str]]:
    """The references of each page behind `after`."""
    position: str | None = after
    while position is not None:
        shown = page(api, after=position)
        yield [account["account"] for account in shown["accounts"]]
        position = shown["next"]


@pytest.mark.parametrize("count", [20, 21, 45])
def test_each_account_is_listed_once_in_the_order_of_references(
    api: ApiProcess, number: int, count: int
) -> None:
    # Given accounts whose references are behind all others: the tests share a database
    kind = f"zz{number:04}q"
    refs = [f"{kind}:{n:02}" for n in range(count)]
    open_many(refs[::-1])

    read = list(pages_from(api, f"zz{number:04}p:9"))

    assert [ref for part in read for ref in part][:count] == refs
    assert all(len(part) == 20 for part in read[:-1])
    assert len(read[-1]) <= 20


def test_an_account_is_listed_as_it_is_shown(api: ApiProcess, number: int) -> None:
    ref = open_account(f"clinic:{number}", credits_=1_000, overdraft_limit=50)
    key = make_key(f"own-{number}", account=ref)

    # A key for one account lists that one, from whichever position
    assert page(api, key) == {
        "accounts": [api.ask(f"/v1/accounts/{ref}", key).json], "next": None,
    }  # fmt: skip
    assert page(api, key, after="a")["accounts"] == page(api, key)["accounts"]
    assert page(api, key, after=ref) == {"accounts": [], "next": None}


def test_accounts_that_are_opened_meanwhile_shift_nothing(api: ApiProcess, number: int) -> None:
    kind = f"zz{number:04}q"
    refs = [f"{kind}:{n:02}" for n in range(45)]
    open_many(refs)

    seen: list[str] = []
    for turn, part in enumerate(pages_from(api, f"zz{number:04}p:9")):
        seen += [ref for ref in part if ref in refs]
        open_many([f"{kind}:00-{turn}"])  # before what was read

    assert seen == refs


def test_a_key_for_a_product_lists_no_other_products_accounts(api: ApiProcess, number: int) -> None:
    clinic, pharmacy = open_account(f"clinic:{number}"), open_pharmacy(f"pharmacy:{number}")
    key = make_key(f"pharma-{number}", product="pharmapulse_one")

    def listed(key: str, **query: str) -> set[tuple[str, str]]:
        read: set[tuple[str, str]] = set()
        position: str | None = ""
        while position is not None:
            more = {"after": position} if position else {}
            shown = page(api, key, **query, **more)
            read |= {(account["account"], account["product"]) for account in shown["accounts"]}
            position = shown["next"]
        return read

    mine = listed(key)
    assert (pharmacy, "pharmapulse_one") in mine
    assert {product for _, product in mine} == {"pharmapulse_one"}
    assert listed(key, product="pharmapulse_one") == mine
    assert listed(key, product="clinic_leads") == set()
    # And the house may ask for either
    assert listed(HOUSE_KEY, product="pharmapulse_one") == mine
    assert (clinic, "clinic_leads") in listed(HOUSE_KEY, product="clinic_leads")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("product=leads", "product"),
        ("product=", "product"),
        ("after=", "after"),
        ("after=a%00", "after"),
        ("after=" + "x" * 101, "after"),
        ("state=ok", "state"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_by_name(
    api: ApiProcess, query: str, field: str
) -> None:
    answer = api.ask(f"/v1/accounts?{query}", HOUSE_KEY)

    assert answer.status == 422
    assert [error["field"] for error in problem(answer)["errors"]] == [field]


def test_the_list_needs_its_scope(api: ApiProcess, number: int) -> None:
    scopes = sorted(set(api_keys.SCOPES) - {"accounts:read"})
    key = make_key(f"blind-{number}", product="clinic_leads", scopes=scopes)

    assert "accounts:read" in problem(api.ask("/v1/accounts", key))["detail"]
    assert api.ask("/v1/accounts").status == 401
