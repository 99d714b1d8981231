"""The pages that play checkout, as a browser walks through them."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
import razorpay
import requests
import stripe

from devstack.simulator.server import Running
from tests.devstack.simulator.conftest import Control

Make = Callable[..., Any]
CALLBACK = "http://127.0.0.1:9/paid?from=checkout"


def text_of(page: str, element: str) -> str:
    found = re.search(rf'id="{element}">(?:<code>)?([^<]*)', page)
    assert found, page
    return html.unescape(found[1])


def form_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def test_paying_on_the_page_gives_what_checkout_gives(
    simulator: Running, http: requests.Session, gateway: razorpay.Client, new_order: Make
) -> None:
    order_id = new_order(receipt="<b>topup</b>")["id"]
    url = f"{simulator.url}/checkout/{order_id}"
    page = http.get(url, params={"callback_url": CALLBACK}, timeout=30)
    assert page.status_code == 200
    assert "SIMULATOR. This is not Razorpay" in page.text
    assert "5000.00 INR" in page.text
    assert "<b>topup" not in page.text
    assert not re.search(r'(src|href)="https?:', page.text)

    paid = http.post(
        url, params={"callback_url": CALLBACK}, data={"outcome": "success", "method": "card"},
        timeout=30,
    )  # fmt: skip

    assert "SIMULATOR" in paid.text
    assert f'<form method="post" action="{html.escape(CALLBACK)}">' in paid.text
    handed = form_of(paid.text)
    assert handed["razorpay_order_id"] == order_id
    assert gateway.utility.verify_payment_signature(handed)
    assert {name: text_of(paid.text, name) for name in handed} == handed
    assert gateway.payment.fetch(handed["razorpay_payment_id"])["method"] == "card"
    assert text_of(http.get(url, timeout=30).text, "order-status") == "paid"


@pytest.mark.parametrize("outcome", ["failure", "late_authorization"])
def test_what_fails_on_the_page_hands_nothing_over(
    simulator: Running, http: requests.Session, control: Control, new_order: Make, outcome: str
) -> None:
    control.set(speed=1)
    url = f"{simulator.url}/checkout/{new_order()['id']}?callback_url={CALLBACK}"
    page = http.post(url, data={"outcome": outcome}, timeout=30).text
    assert text_of(page, "payment-status") == "failed"
    assert text_of(page, "order-status") == "attempted"
    assert "razorpay_signature" not in page
    assert form_of(page) == {}


def test_the_page_refuses_what_it_does_not_know(
    simulator: Running, http: requests.Session, control: Control, new_order: Make
) -> None:
    missing = http.get(f"{simulator.url}/checkout/order_00000000000000", timeout=30)
    assert (missing.status_code, "no such order" in missing.text) == (404, True)
    order_id = new_order()["id"]
    url = f"{simulator.url}/checkout/{order_id}"
    assert http.post(url, data={"outcome": "luck"}, timeout=30).status_code == 400
    script = http.post(f"{url}?callback_url=javascript:alert(1)", data={"outcome": "authorized"},
                       timeout=30)  # fmt: skip
    assert text_of(script.text, "payment-status") == "authorized"
    assert "javascript" not in script.text
    again = http.post(url, data={"outcome": "success"}, timeout=30)
    assert (again.status_code, "another payment" in again.text) == (400, True)


def test_stripes_page_leads_back_to_the_shop(
    stripe_client: stripe.StripeClient, http: requests.Session, new_session: Make
) -> None:
    shop = "http://127.0.0.1:9/thanks?session={CHECKOUT_SESSION_ID}"
    session = new_session(success_url=shop, cancel_url="http://127.0.0.1:9/cart")
    page = http.get(session.url, timeout=30)
    assert "SIMULATOR. This is not Stripe" in page.text
    assert "5000.00 INR" in page.text

    declined = http.post(session.url, data={"outcome": "failure"}, timeout=30)
    assert (declined.status_code, text_of(declined.text, "session-status")) == (402, "open")
    paid = http.post(session.url, data={"outcome": "success"}, timeout=30, allow_redirects=False)

    assert paid.status_code == 303
    assert paid.headers["Location"] == f"http://127.0.0.1:9/thanks?session={session.id}"
    assert stripe_client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    over = http.post(session.url, data={"outcome": "success"}, timeout=30, allow_redirects=False)
    assert over.status_code == 400
    assert http.get(f"{session.url}0", timeout=30).status_code == 404
    assert http.post(f"{session.url}0", timeout=30).status_code == 404


def test_stripes_page_without_a_shop_says_how_it_ended(
    http: requests.Session, new_session: Make
) -> None:
    session = new_session()
    assert http.post(session.url, data={"outcome": "luck"}, timeout=30).status_code == 400
    paid = http.post(session.url, data={"outcome": "success"}, timeout=30)
    assert text_of(paid.text, "payment-status") == "paid"


def test_the_first_page_shows_what_there_is(
    simulator: Running, http: requests.Session, control: Control, new_order: Make,
    new_session: Make,
) -> None:  # fmt: skip
    order_id, session = new_order()["id"], new_session()
    control.pay(order_id)
    control.settled()

    page = http.get(simulator.url, timeout=30).text

    assert "SIMULATOR" in page
    for text in (order_id, session.id, "order.paid", "late_authorization_seconds"):
        assert text in page
