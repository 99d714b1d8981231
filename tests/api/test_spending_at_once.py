"""64 requests at once against credit for ten, over HTTP: ten succeed, and nothing leaks."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.api.api_process import ApiProcess
from tests.api.conftest import HOUSE_KEY
from tests.api.given_spending import capture, charge, kind, on_record, place, void
from tests.billing.given import assert_ledger_is_clean, open_account, rows
from tests.conftest import new_database
from tests.server_process import Answer

pytestmark = pytest.mark.usefixtures("house")

CALLERS, COVERED, EACH = 64, 10, 7


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """A database of its own, in which all of the ledger is clean."""
    with new_database() as url:
        yield url


@pytest.fixture(scope="module")
def running_api(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiProcess]:
    log_file = tmp_path_factory.mktemp("spending") / "api.log"
    keys = f"house:{HOUSE_KEY}"
    with ApiProcess(log_file, DATABASE_URL=database_url, API_KEYS=keys) as api:
        yield api


@pytest.fixture
def clinic(number: int) -> str:
    """An account with credit for ten, and some that pays for no eleventh."""
    return open_account(f"clinic:{number}", credits_=COVERED * EACH + EACH - 1)


def all_at_once(ask: Callable[[int], list[Answer]]) -> list[list[Answer]]:
    together = Barrier(CALLERS)

    def one(number: int) -> list[Answer]:
        together.wait()
        return ask(number)

    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(one, range(CALLERS)))


def lowest_balance(ref: str) -> object:
    return rows(
        "SELECT min(balance_after) FROM credit_transactions t JOIN accounts a ON a.id = account_id"
        " WHERE ref = :ref",
        ref=ref,
    )[0][0]


def test_sixty_four_charges_against_credit_for_ten(api: ApiProcess, clinic: str) -> None:
    answers = all_at_once(lambda n: [charge(api, clinic, EACH, once=f"at-once-{clinic}-{n}")])

    assert Counter(a.status for [a] in answers) == {201: COVERED, 402: CALLERS - COVERED}
    assert {kind(a) for [a] in answers if a.status == 402} == {"not-enough-credit"}
    assert len({a.json["transaction_id"] for [a] in answers if a.status == 201}) == COVERED
    assert on_record(clinic) == (EACH - 1, 0, COVERED)
    assert lowest_balance(clinic) == EACH - 1
    assert_ledger_is_clean()


def test_sixty_four_holds_that_are_captured_against_credit_for_ten(
    api: ApiProcess, clinic: str
) -> None:
    def ask(number: int) -> list[Answer]:
        held = place(api, clinic, EACH, once=f"at-once-{clinic}-{number}")
        if held.status != 201:
            return [held]
        return [held, capture(api, held.json["hold_id"], once=f"at-once-{clinic}-{number}-c")]

    answers = all_at_once(ask)

    assert Counter(a[0].status for a in answers) == {201: COVERED, 402: CALLERS - COVERED}
    captured = [a[1] for a in answers if a[0].status == 201]
    assert [(a.status, a.json["captured"]) for a in captured] == [(200, EACH)] * COVERED
    assert on_record(clinic) == (EACH - 1, 0, COVERED)
    assert lowest_balance(clinic) == EACH - 1
    assert_ledger_is_clean()


def test_sixty_four_holds_charges_and_voids_leak_nothing(api: ApiProcess, clinic: str) -> None:
    def ask(number: int) -> list[Answer]:
        once = f"at-once-{clinic}-{number}"
        if number % 2:
            return [charge(api, clinic, EACH, once=once)]
        held = place(api, clinic, EACH, once=once)
        if held.status != 201:
            return [held]
        finish = (capture, void)[number // 2 % 2]
        return [held, finish(api, held.json["hold_id"], once=f"{once}-end")]

    answers = all_at_once(ask)

    assert {a.status for each in answers for a in each} <= {200, 201, 402}
    taken = sum(each[-1].json.get("transaction_id") is not None for each in answers
                if each[-1].status != 402)  # fmt: skip
    assert taken <= COVERED
    assert on_record(clinic) == (COVERED * EACH + EACH - 1 - taken * EACH, 0, taken)
    assert_ledger_is_clean()
