"""`/v1/checkout.js` in a real browser, on a shop's page of another origin with a strict policy."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import razorpay
import requests

from devstack.simulator.server import Running
from tests.browser import NewPage, picture
from tests.devstack.simulator.conftest import KEY_ID, Control
from tests.devstack.simulator.shop import Shop, selling

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page

Make = Callable[..., Any]
FAILURE = {
    "code": "BAD_REQUEST_ERROR",
    "description": "Payment failed",
    "source": "issuer",
    "step": "payment_authorization",
    "reason": "payment_failed",
}


@pytest.fixture
def shop(simulator: Running, new_order: Make) -> Iterator[Shop]:
    with selling(f"{simulator.url}/v1/checkout.js") as it:
        it.options = {
            "key": KEY_ID,
            "order_id": new_order()["id"],
            "amount": 500_000,
            "currency": "INR",
            "name": "Clinics & Co",
            "description": "5,000 credits",
            "prefill": {"name": "Asha", "email": "asha@example.com", "contact": "+919000090000"},
            "notes": {"account": "clinic:1"},
            "theme": {"color": "#0b6e4f"},
            "handler": True,
        }
        yield it


def opened(page: "Page", shop: Shop) -> "FrameLocator":
    page.goto(shop.url)
    page.get_by_role("button", name="Pay").click()
    return checkout(page)


def checkout(page: "Page") -> "FrameLocator":
    return page.frame_locator("iframe")


def press(frame: "FrameLocator", name: str) -> None:
    frame.get_by_role("button", name=name).click()


def heard(page: "Page", what: str) -> Any:
    """Wait until the shop's page heard something; return what came with it."""
    found = "window.heard.find(([name]) => name === what)"
    page.wait_for_function(f"what => {found}", arg=what)
    return page.evaluate(f"what => {found}[1]", what)


def all_heard(page: "Page") -> list[str]:
    return [name for name, _ in page.evaluate("window.heard")]


def is_closed(page: "Page") -> bool:
    page.wait_for_selector("iframe", state="detached")
    return bool(page.evaluate("document.body.style.overflow") != "hidden")


def test_a_payment_hands_the_page_what_razorpay_hands_it(
    page: "Page", shop: Shop, gateway: razorpay.Client
) -> None:
    frame = opened(page, shop)
    frame.get_by_text("SIMULATOR.").wait_for()
    frame.get_by_role("heading", name="Clinics & Co").wait_for()
    frame.get_by_label("Card").check()
    picture(page, "checkout")
    press(frame, "Pay ₹5,000")

    paid = heard(page, "handler")

    assert gateway.utility.verify_payment_signature(paid)
    assert paid["razorpay_order_id"] == shop.options["order_id"]
    payment = gateway.payment.fetch(paid["razorpay_payment_id"])
    assert (payment["status"], payment["method"]) == ("captured", "card")
    assert (payment["email"], payment["contact"]) == ("asha@example.com", "+919000090000")
    assert is_closed(page)
    assert all_heard(page) == ["handler"], "a success is no dismissal"


def test_a_failure_is_reported_and_the_next_try_pays(page: "Page", shop: Shop) -> None:
    frame = opened(page, shop)
    press(frame, "Let the payment fail")

    error = heard(page, "payment.failed")

    assert {name: error[name] for name in FAILURE} == FAILURE
    assert error["metadata"]["order_id"] == shop.options["order_id"]
    assert re.fullmatch(r"pay_\w{14}", error["metadata"]["payment_id"])
    frame.get_by_text("Nothing was charged").wait_for()
    picture(page, "checkout-failed")
    press(frame, "Try again")
    press(frame, "Pay ₹5,000")
    assert heard(page, "handler")["razorpay_payment_id"] != error["metadata"]["payment_id"]


@pytest.mark.parametrize(("retry", "tries"), [(False, 1), ({"enabled": True, "max_count": 1}, 2)])
def test_no_more_tries_are_offered_than_the_shop_allows(
    page: "Page", shop: Shop, retry: Any, tries: int
) -> None:
    shop.options["retry"] = retry
    frame = opened(page, shop)
    for number in range(tries):
        if number:
            press(frame, "Try again")
        press(frame, "Let the payment fail")
        frame.get_by_role("heading", name="did not go through").wait_for()
    assert frame.get_by_role("button", name="Try again").count() == 0
    press(frame, "Close and go back")
    heard(page, "dismiss")


def test_a_name_that_is_no_text_is_shown_all_the_same(page: "Page", shop: Shop) -> None:
    shop.options["name"] = 24
    frame = opened(page, shop)
    frame.get_by_role("button", name="Pay ₹5,000").wait_for()
    assert frame.get_by_role("heading", name="24").is_visible()


@pytest.mark.parametrize("way", ["button", "escape", "escape on the page", "close()"])
def test_closing_is_a_dismissal_and_charges_nothing(
    page: "Page", shop: Shop, gateway: razorpay.Client, way: str
) -> None:
    frame = opened(page, shop)
    frame.get_by_role("button", name="Pay ₹5,000").wait_for()
    if way == "button":
        press(frame, "Close Checkout")
    elif way == "escape":
        frame.get_by_role("button", name="Pay ₹5,000").press("Escape")
    elif way == "escape on the page":
        page.evaluate("document.activeElement.blur(), document.body.focus()")
        page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    else:
        page.evaluate("window.rzp.close()")
    assert heard(page, "dismiss") is None
    assert is_closed(page)
    assert gateway.order.fetch(shop.options["order_id"])["status"] == "created"
    # And the same object opens again
    press(opened_again(page), "Pay ₹5,000")
    heard(page, "handler")


def opened_again(page: "Page") -> "FrameLocator":
    page.get_by_role("button", name="Pay").click()
    return checkout(page)


def test_escape_is_the_shops_to_switch_off(page: "Page", shop: Shop) -> None:
    shop.options["modal"] = {"escape": False}
    button = opened(page, shop).get_by_role("button", name="Pay ₹5,000")
    button.press("Escape")
    button.click()
    heard(page, "handler")
    assert all_heard(page) == ["handler"]


def test_it_closes_itself_after_the_timeout_and_says_so(page: "Page", shop: Shop) -> None:
    shop.options["timeout"] = 1
    opened(page, shop)
    assert heard(page, "dismiss") == "timeout"
    assert is_closed(page)


@pytest.mark.parametrize("redirect", [True, None])
def test_with_a_callback_url_the_result_is_posted_there(
    page: "Page", shop: Shop, gateway: razorpay.Client, redirect: bool | None
) -> None:
    # With redirect the handler is not called; without a handler the address is enough.
    shop.options |= {"callback_url": f"{shop.url}/callback", "redirect": redirect}
    if redirect is None:
        del shop.options["handler"]
    press(opened(page, shop), "Pay ₹5,000")
    page.get_by_role("heading", name="Back at the shop").wait_for()
    assert page.url == f"{shop.url}/callback"
    [posted] = shop.posted
    assert gateway.utility.verify_payment_signature(posted)


def test_with_a_redirect_a_failure_is_posted_too(page: "Page", shop: Shop) -> None:
    shop.options |= {"callback_url": f"{shop.url}/callback", "redirect": True}
    press(opened(page, shop), "Let the payment fail")
    page.get_by_role("heading", name="Back at the shop").wait_for()
    [posted] = shop.posted
    assert posted["error[code]"] == "BAD_REQUEST_ERROR"
    assert shop.options["order_id"] in posted["error[metadata]"]
    assert "razorpay_signature" not in posted


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"key": "rzp_test_another"}, "The api key provided is invalid"),
        ({"order_id": "order_00000000000000"}, "The id provided does not exist"),
        ({"order_id": None}, "The order id field is required."),
        ({"amount": 499_900}, "Your payment amount is different from your order amount."),
    ],
)
def test_what_cannot_be_paid_is_refused(
    page: "Page", shop: Shop, gateway: razorpay.Client, options: dict[str, Any], problem: str
) -> None:
    order_id = shop.options["order_id"]
    shop.options |= options
    frame = opened(page, shop)
    frame.get_by_text(problem).wait_for()
    assert frame.get_by_role("button", name="Pay").count() == 0
    picture(page, "checkout-refused")
    press(frame, "Close and go back")
    heard(page, "dismiss")
    assert gateway.order.fetch(order_id)["attempts"] == 0


def test_a_paid_order_is_refused_before_and_while_it_is_open(
    page: "Page", new_page: NewPage, shop: Shop, control: Control, gateway: razorpay.Client
) -> None:
    # Given Checkout on the screen, and the order paid elsewhere meanwhile
    frame = opened(page, shop)
    frame.get_by_role("button", name="Pay ₹5,000").wait_for()
    control.pay(shop.options["order_id"])
    # Then neither this try nor a new Checkout takes the money again
    press(frame, "Pay ₹5,000")
    assert heard(page, "payment.failed")["description"] == "Payment already done for this order."
    late = opened(new_page(), shop)
    late.get_by_text("Payment already done for this order.").wait_for()
    assert gateway.order.fetch(shop.options["order_id"])["attempts"] == 1


def test_messages_of_other_windows_and_origins_do_nothing(page: "Page", shop: Shop) -> None:
    opened(page, shop).get_by_role("button", name="Pay ₹5,000").wait_for()
    forged = {"type": "success", "payment": {"razorpay_payment_id": "pay_forged"}}
    page.evaluate("message => window.postMessage(message, '*')", forged)
    page.evaluate(
        """message => {
          const frame = document.createElement('iframe');
          document.body.appendChild(frame);
          frame.contentWindow.parent.postMessage(message, '*');
          return new Promise(resolve => setTimeout(resolve, 100));
        }""",
        forged,
    )
    assert all_heard(page) == []
    press(page.frame_locator("iframe.razorpay-checkout-frame"), "Pay ₹5,000")
    assert heard(page, "handler")["razorpay_payment_id"] != "pay_forged"


def test_on_a_telephone_all_of_it_is_in_reach(new_page: NewPage, shop: Shop) -> None:
    page = new_page(width=400, height=760)
    frame = opened(page, shop)
    frame.get_by_role("button", name="Pay ₹5,000").wait_for()
    picture(page, "checkout-400")
    [inner] = [one for one in page.frames if one.parent_frame]
    assert inner.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = """() => [...document.querySelectorAll('button, summary')]
        .filter(one => one.offsetParent && one.getBoundingClientRect().height < 24)
        .map(one => one.textContent)"""
    assert inner.evaluate(small) == []


def test_the_script_is_served_without_a_key_and_not_kept(
    simulator: Running, http: requests.Session
) -> None:
    script = http.get(f"{simulator.url}/v1/checkout.js", timeout=30)
    assert script.status_code == 200
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert script.headers["Cache-Control"] == "no-cache"
    frame = http.get(f"{simulator.url}/checkout-frame", timeout=30)
    assert "script-src 'self'" in frame.headers["Content-Security-Policy"]
    assert not re.search(r"<[^>]+ (on\w+|style)=", frame.text), "the policy forbids both"
    assert http.get(f"{simulator.url}/v1/orders", timeout=30).status_code == 401
