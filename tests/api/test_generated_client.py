"""The client that a public generator makes from the document works on the API.

openapi-python-client reads the document as strangers' tools do: what it cannot read, or reads as
something else than the API answers, fails here.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from billing.access import keys
from db.roles import Role
from db.session import transaction
from tests.api.given import Shop

NAME = "generated_billing_client"


class Generated:
    """The generated package, and a client of it."""

    def __init__(self, shop: Shop, key: str) -> None:
        client = import_module(f"{NAME}.client").AuthenticatedClient
        url = f"http://127.0.0.1:{shop.api.port}"
        self.client = client(base_url=url, token=key, raise_on_unexpected_status=True)
        self.models: ModuleType = import_module(f"{NAME}.models")

    def call(self, operation: str, *path: str, **more: Any) -> Any:
        """Call an operation such as `orders.orders_create`; return its status and its answer."""
        answer = import_module(f"{NAME}.api.{operation}").sync_detailed(
            *path, client=self.client, **more
        )
        return answer.status_code, answer.parsed

    def post(self, operation: str, body: Any, *path: str) -> Any:
        """The same with a body, under a new key."""
        return self.call(operation, *path, body=body, idempotency_key=str(uuid4()))


@pytest.fixture
def generated(
    shop: Shop, house: None, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Generated]:
    document = tmp_path / "openapi.json"
    document.write_bytes(shop.api.get("/openapi.json").body)
    tools = str(Path(sys.executable).parent)
    ran = subprocess.run(
        [
            f"{tools}/openapi-python-client", "generate", "--path", str(document),
            "--output-path", str(tmp_path / NAME), "--meta", "none", "--fail-on-warning",
        ],
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    # A key as it is made for a platform: without the scopes that are given by name only.
    with transaction(Role.OWNER) as session:
        key = keys.create(session, name=f"generated-{number}", product="clinic_leads")
    made = Generated(shop, key)
    with made.client:
        yield made
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


def test_a_generated_client_opens_an_account_orders_and_is_refused_credit(
    shop: Shop, generated: Generated, number: int
) -> None:
    """Slow (10 s): the client is generated first."""
    models, ref = generated.models, f"clinic:generated-{number}"
    # When it opens an account
    wanted = models.NewAccount(ref=ref, name="City Clinic", product="clinic_leads")
    status, account = generated.post("accounts.accounts_create", wanted)
    # Then the answer has its types
    assert (status, account.account, account.balance) == (201, ref, 0)
    assert account.created_at.tzinfo is not None
    assert account.gstin is None
    # When it orders credit, and the customer pays
    order_of = models.NewOrder(account=ref, gateway=models.Gateway.RAZORPAY, package="credits_5000")
    status, order = generated.post("orders.orders_create", order_of)
    assert (status, order.credits_, order.bonus_credits) == (201, 5_000, 500)
    paid = models.CheckoutResult.from_dict(shop.pay(order.order_id))
    status, payment = generated.post("payments.payments_verify", paid)
    # Then it is credited
    assert (status, payment.credits_added) == (200, 5_500)
    # When it spends more than there is
    charge = models.NewCharge(account=ref, amount=6_000)
    status, problem = generated.post("credit.charges_create", charge)
    # Then it is refused, and the problem says by how much
    assert status == 402
    assert problem.type_ == "urn:problem-type:billing:not-enough-credit"
    assert (problem.needed, problem.balance, problem.available) == (6_000, 5_500, 5_500)
    # When it lists the payments
    status, page = generated.call(
        "accounts.account_lists_payments", ref, state=models.PaymentState.CAPTURED
    )
    # Then the one is there
    assert [one.payment_id for one in page.payments] == [paid.payment_id]
    # When it changes the account
    change = models.AccountChange.from_dict({"name": "New City Clinic", "low_balance": 200})
    status, changed = generated.call("accounts.accounts_update", ref, body=change)
    # Then it is changed
    assert (status, changed.name, changed.balance) == (200, "New City Clinic", 5_500)


def test_an_optional_body_may_be_left_out(shop: Shop, generated: Generated, number: int) -> None:
    """Slow (10 s): the client is generated first."""
    models, ref = generated.models, f"clinic:holder-{number}"
    account = models.NewAccount(ref=ref, name="Clinic", product="clinic_leads")
    generated.post("accounts.accounts_create", account)
    order = shop.buy(ref)
    shop.verify(shop.pay(order["order_id"]))
    placed = models.NewHold(account=ref, amount=30)
    _, hold = generated.post("credit.holds_place", placed)

    status, done = generated.call(
        "credit.holds_capture", hold.hold_id, idempotency_key=str(uuid4())
    )

    assert (status, done.state, done.captured) == (200, "captured", 30)
