"""Short ways to spend over the API, for the tests of holds and charges."""

from typing import Any

from billing import verification
from billing.access import keys as api_keys
from db.roles import Role
from db.session import snapshot, transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.billing.given import rows
from tests.server_process import Answer


def place(
    api: ApiProcess, account: str, amount: Any = 30, *, key: str = HOUSE_KEY,
    once: str | None = None, **more: Any,
) -> Answer:  # fmt: skip
    body = {"account": account, "amount": amount, **more}
    return api.post("/v1/holds", key, body, once=once)


def placed(api: ApiProcess, account: str, amount: int = 30, **more: Any) -> str:
    """The id of a hold that could be placed."""
    answer = place(api, account, amount, **more)
    assert answer.status == 201, answer.body
    return str(answer.json["hold_id"])


def capture(
    api: ApiProcess, hold_id: str, amount: Any = None, *, key: str = HOUSE_KEY,
    once: str | None = None,
) -> Answer:  # fmt: skip
    body = {} if amount is None else {"amount": amount}
    return api.post(f"/v1/holds/{hold_id}/capture", key, body, once=once)


def void(api: ApiProcess, hold_id: str, *, key: str = HOUSE_KEY, once: str | None = None) -> Answer:
    return api.post(f"/v1/holds/{hold_id}/void", key, {}, once=once)


def charge(
    api: ApiProcess, account: str, amount: Any = 30, *, key: str = HOUSE_KEY,
    once: str | None = None, **more: Any,
) -> Answer:  # fmt: skip
    body = {"account": account, "amount": amount, **more}
    return api.post("/v1/charges", key, body, once=once)


def show(api: ApiProcess, hold_id: str, *, key: str = HOUSE_KEY) -> Answer:
    return api.ask(f"/v1/holds/{hold_id}", key)


def kind(answer: Answer) -> str:
    return str(problem(answer)["type"].removeprefix("urn:problem-type:billing:"))


def fields(answer: Answer) -> list[str]:
    """The fields that a 422 names."""
    assert answer.status == 422, answer.body
    return [error["field"] for error in problem(answer)["errors"]]


def figures(answer: Answer) -> tuple[int, int, int]:
    """Balance, held and available, as answered."""
    shown = answer.json
    return shown["balance"], shown["held"], shown["available"]


def on_record(ref: str) -> tuple[object, ...]:
    """Balance, what is held, and how many charges there are."""
    [found] = rows(
        "SELECT balance, held, (SELECT count(*) FROM credit_transactions t"
        " WHERE t.account_id = a.id AND kind = 'usage') FROM accounts a WHERE ref = :ref",
        ref=ref,
    )
    return found


def make_key(name: str, **more: Any) -> str:
    with transaction(Role.OWNER) as session:
        return api_keys.create(session, name=name, **more)


def assert_clean(ref: str) -> None:
    """Every invariant of the ledger holds on an account; other tests make books up."""
    with snapshot() as session:
        found = [b for b in verification.verify(session).breaches if b.account == ref]
    assert found == []
