"""The examples of the OpenAPI document are one story; here it is sent to a running API.

Each request of the document is sent as it stands there, apart from ids, and the answer must be the
one of the document, apart from ids and times (`tests/docs/matching.py`).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import pytest

import api.app  # noqa: F401 - its routes declare themselves
import clock
from api.document import DECLARED
from api.examples import Example, Refused
from billing import notices
from billing.access import keys
from billing.calendar import local_day_of
from db.roles import Role
from db.session import transaction
from tests.api.api_process import problem
from tests.api.conftest import HOUSE_KEY, shop_on
from tests.api.given import Shop
from tests.conftest import new_database
from tests.docs.matching import Ids, alike, differs
from tests.server_process import Answer
from tests.tasks.given import work

Place = tuple[str, str]
"""Method and path of an operation."""


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """A database of the story's own: other tests take its account and the ids of its holds."""
    with new_database() as url:
        yield url


@pytest.fixture(scope="module")
def running_shop(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop_on(database_url, tmp_path_factory.mktemp("story") / "api.log") as running:
        yield running


class Story:
    """The examples as they are sent: which id of the document stands for which id of this run."""

    def __init__(self, shop: Shop, document: Mapping[str, Any]) -> None:
        self.shop = shop
        self.ids = Ids()
        self.sent: set[str] = set()
        self.wrong: list[str] = []
        self._key, self._query = HOUSE_KEY, dict[str, str]()
        self._places: dict[str, Place] = {
            operation["operationId"]: (method.upper(), path)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        }

    def tell(self, operation_id: str, *, key: str = HOUSE_KEY, **query: str) -> None:
        """Send an example and then its refusals; note what is answered otherwise.

        As the house, or with another key; with `query` instead of what passes with time.
        """
        self._key, self._query = key, query
        example = DECLARED[operation_id].example
        assert example is not None, f"{operation_id}: has no example"
        self.sent.add(operation_id)
        answer = self._send(operation_id, example)
        self._compare(f"{operation_id}: {answer.status}", example.answer, answer.body)
        for refused in example.refused:
            refusal = self._send(operation_id, example, refused)
            says = f"{operation_id}: {refusal.status} {refused.name}"
            self._compare(says, _problem(refused), _without_request_id(refusal))

    def stands_for(self, written: Mapping[str, Any], seen: Mapping[str, Any]) -> None:
        """Bind the ids of what happens beside the API."""
        assert alike(json.dumps(written), json.dumps(seen), self.ids)

    def of_run(self, written: str) -> str:
        """Return what stands in this run for an id of the document."""
        return self.ids.command(f" {written} ").strip()

    def _send(self, operation_id: str, example: Example, other: Refused | None = None) -> Answer:
        method, path = self._places[operation_id]
        parts, query, body = example.path, example.query, example.body
        if other is not None:
            parts, query = {**parts, **other.path}, {**query, **other.query}
            body = {**body, **other.body} if body is not None else None
        query = {**query, **self._query}
        for name, value in parts.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=":"))
        path = self.ids.command(f"{path}?{urlencode(query)}" if query else path)
        headers = [("authorization", f"Bearer {self._key}")]
        if method == "POST":
            key = f"{operation_id}-{other.name if other else 'example'}"
            headers.append(("idempotency-key", key))
        sent = b""
        if body is not None:
            headers.append(("content-type", "application/json"))
            sent = self.ids.command(json.dumps(body)).encode()
        return self.shop.api.request(method, path, sent, headers)

    def _compare(self, what: str, written: Mapping[str, Any], seen: bytes) -> None:
        if differs(json.dumps(written), seen.decode(), self.ids):
            self.wrong.append(f"{what}\n  document: {json.dumps(written)}\n  API: {seen.decode()}")


def _problem(refused: Refused) -> dict[str, Any]:
    kind = f"urn:problem-type:billing:{refused.kind}" if refused.kind else "about:blank"
    return {"type": kind, "status": refused.status, "detail": refused.detail, **refused.more}


def _without_request_id(answer: Answer) -> bytes:
    shown = problem(answer)
    return json.dumps({k: v for k, v in shown.items() if k not in {"title", "request_id"}}).encode()


# What happens beside the API.


def _clinic_pays(story: Story) -> None:
    written = _example("payments_verify").body
    assert written is not None
    story.stands_for(written, story.shop.pay(story.of_run(written["order_id"])))


def _pharmacy_buys_a_plan(story: Story) -> None:
    shop = story.shop
    account = {"ref": "pharmacy:7", "name": "Good Health", "product": "pharmapulse_one"}
    shop.post("/v1/accounts", {**account, "timezone": "Asia/Kolkata"})
    order = shop.buy("pharmacy:7", plan="pharmapulse_one")
    assert shop.verify(shop.pay(order["order_id"])).json["state"] == "captured"


def _another_hold_is_placed(story: Story) -> None:
    placed = story.shop.post("/v1/holds", {"account": "clinic:42", "amount": 100}).json
    story.stands_for(_example("holds_void").path, {"hold_id": placed["hold_id"]})


def _lead_is_charged(_: Story) -> None:
    work("api_leads")


def _notices_are_placed(_: Story) -> None:
    with transaction() as session:
        notices.fan_out(session, now=clock.now())


def _accounts_are_listed(story: Story) -> None:
    # The database is shared: a key for the account sees no others.
    with transaction(Role.OWNER) as session:
        key = keys.create(session, name=f"of-the-story-{uuid4()}", account="clinic:42")
    story.tell("accounts_list_all", key=key)


def _statement_is_of_this_month(story: Story) -> None:
    today = local_day_of(clock.now(), "Asia/Kolkata")
    story.tell("statements_show", month=f"{today:%Y-%m}")


STORY: tuple[str | Callable[[Story], None], ...] = (
    "accounts_create",
    "orders_create",
    _clinic_pays,
    "payments_verify",
    _notices_are_placed,
    "events_list_all",
    "orders_show",
    "leads_create",
    _lead_is_charged,
    "leads_show",
    "leads_of_account",
    "accounts_update",
    "accounts_show",
    _accounts_are_listed,
    _statement_is_of_this_month,
    "catalog_show",
    "disputes_create",
    "disputes_show",
    "disputes_of_account",
    "disputes_withdraw",
    "holds_place",
    "holds_show",
    "holds_capture",
    _another_hold_is_placed,
    "holds_void",
    "charges_create",
    "account_lists_transactions",
    "account_lists_payments",
    "refunds_create",
    "refunds_show",
    "payments_show",
    "contacts_add",
    "contacts_of_account",
    "contacts_remove",
    "events_types",
    _pharmacy_buys_a_plan,
    "plans_entitlements",
    "plans_status",
)
"""Operations in an order in which each finds what its example needs."""


@pytest.mark.usefixtures("house")
def test_the_api_answers_what_its_document_shows(shop: Shop) -> None:
    # Given the document of the running API
    document = shop.api.get("/openapi.json").json
    story = Story(shop, document)
    # When each of its examples is sent
    for step in STORY:
        if isinstance(step, str):
            story.tell(step)
        else:
            step(story)
    # Then it is answered as the document says, and no route was left out
    assert not story.wrong, "\n".join(story.wrong)
    assert story.sent == set(story._places)


@pytest.mark.parametrize("operation_id", sorted(DECLARED))
def test_a_route_has_an_example_and_a_refusal_of_its_own(operation_id: str) -> None:
    assert _example(operation_id).refused, f"{operation_id}: add a refusal to its example"


def _example(operation_id: str) -> Example:
    example = DECLARED[operation_id].example
    assert example is not None, f"{operation_id}: declare an `example` in its `route(...)`"
    return example
