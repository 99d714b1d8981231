"""examples/marketplace as a real process before the real stack: every step, seen in the ledger.

It runs in an environment with the client and Flask and nothing else, as its README says. The top-up
goes once through Checkout in a browser, if there is one, and once by the simulator's own door.
Slow, for it starts a stack, a platform and a browser.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

import settings
from devstack import ports
from tests import environments
from tests.acceptance import paying
from tests.acceptance.harness import Stack
from tests.browser import NewPage, picture
from tests.stack_process import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Page

APP = settings.PROJECT_DIR / "examples" / "marketplace" / "app.py"
TOP_UP = [5000, 500]

pytestmark = pytest.mark.acceptance


class Marketplace:
    """The platform, as a visitor without a browser uses it."""

    def __init__(self, url: str, stack: Stack) -> None:
        self.url = url
        self.stack = stack

    def post(self, path: str, status: int = 200, **form: str) -> "requests.Response":
        """Send a form; return the answer, or the page that it leads to."""
        answer = requests.post(f"{self.url}{path}", data=form, timeout=60)
        assert answer.status_code == status, answer.text
        return answer

    def credits(self, account: str) -> list[int]:
        """Return the credits of each row of an account, oldest first."""
        return [amount for _, amount in self.stack.ledger(account)]

    def order_of(self, account: str) -> str:
        """Return the gateway's id of the one order of an account."""
        [order] = self.stack.billing("orders", "list", "--account", account)
        order_id: str = order["order_id"]
        return order_id


@pytest.fixture(scope="module")
def marketplace(
    shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Marketplace]:
    folder = tmp_path_factory.mktemp("marketplace")
    python, packages = environments.make(folder / "platform")
    environments.add(packages, ["flask", "urllib3"])
    (packages / "billing_client").symlink_to(settings.PROJECT_DIR / "billing_client")
    port = ports.find_free()
    key = shared_stack.billing("api-keys", "create", "marketplace", "--product", "clinic_leads")
    endpoint = shared_stack.billing(
        "notices", "endpoints", "add", f"http://{ports.HOST}:{port}/hooks",
        "--product", "clinic_leads", "--topic", "balance.*",
    )  # fmt: skip
    environment = {
        "BILLING_NOTICE_SECRETS": endpoint["secret"],
        "BILLING_API_URL": f"http://{ports.HOST}:{shared_stack.environment['API_PORT']}",
        "BILLING_API_KEY": key["key"],
        "CHECKOUT_SCRIPT": f"{shared_stack.addresses['razorpay_api_base']}/v1/checkout.js",
    }
    with running(python, port, environment, folder / "output.txt") as url:
        yield Marketplace(url, shared_stack)


@pytest.fixture(autouse=True)
def _all_of_it_runs(stack: Stack) -> None:
    """Whatever an earlier test stopped runs again."""


def test_a_clinic_is_opened_once(marketplace: Marketplace) -> None:
    for _ in range(2):
        page = marketplace.post("/clinics", clinic="market-1", name="Market Clinic")
        assert "Market Clinic" in page.text
    shown = marketplace.stack.billing("accounts", "show", "clinic:market-1")
    assert (shown["product"], shown["balance"]) == ("clinic_leads", 0)


def test_credit_is_bought_spent_on_leads_disputed_and_used(marketplace: Marketplace) -> None:
    # Given a clinic that orders credit, twice by a double click
    account, path = "clinic:market-2", "/clinics/market-2"
    marketplace.post("/clinics", clinic="market-2", name="Market Clinic")
    for _ in range(2):
        page = marketplace.post(f"{path}/top-ups", package="credits_5000", once="click-1")
        assert "/v1/checkout.js" in page.text
    order_id = marketplace.order_of(account)
    # When it pays, and Checkout posts to callback_url
    paid = paying.pay(marketplace.stack, order_id)
    handed: Any = {f"razorpay_{name}": value for name, value in paid.items()}
    page = marketplace.post(f"{path}/paid", **handed)
    # Then it is credited, once
    assert "5,500" in page.text
    assert paying.credited(marketplace.stack, paid["payment_id"]) == TOP_UP

    # When a lead is brought twice, it is charged once by its price
    for _ in range(2):
        page = marketplace.post(f"{path}/leads", lead_id="L-m2", package_price_rupees="12000")
        assert "charged" in page.text
    assert marketplace.credits(account) == [*TOP_UP, -250]
    # And when it is disputed, by a double click, an operator decides, and the credit comes back
    wrong: Any = {
        "dispute_type": "wrong_number",
        "description": "No such number.",
        "once": "click-2",
    }
    for _ in range(2):
        page = marketplace.post(f"{path}/leads/L-m2/disputes", **wrong)
        assert "dispute pending" in page.text
    [dispute] = marketplace.stack.billing("disputes", "list", "--account", account)
    approve(marketplace.stack, dispute["dispute_id"])
    assert marketplace.credits(account) == [*TOP_UP, -250, 250]

    # When the AI view answers, it takes what it used; when it refuses, nothing
    answer = marketplace.post(f"{path}/replies", question="Open on Sunday?").json()
    assert answer == {"reply": "Thank you for asking: Open on Sunday?"}
    marketplace.post(f"{path}/replies", status=400)
    assert marketplace.credits(account) == [*TOP_UP, -250, 250, -5]
    assert marketplace.stack.billing("balance", account)["held"] == 0


def test_a_notice_warns_of_a_low_balance_and_takes_the_warning_back(
    marketplace: Marketplace,
) -> None:
    # Given a clinic with 1,000 credits
    path = "/clinics/market-6"
    marketplace.post("/clinics", clinic="market-6", name="Market Clinic")

    def top_up(once: str, balance: str) -> None:
        marketplace.post(f"{path}/top-ups", package="credits_1000", once=once)
        orders = marketplace.stack.billing("orders", "list", "--account", "clinic:market-6")
        [order] = [one for one in orders if one["state"] == "open"]
        paying.pay(marketplace.stack, order["order_id"])
        eventually("it is paid", lambda: f">{balance}<" in requests.get(page, timeout=60).text)

    def warned() -> bool:
        return "Credit is low: the balance is 500" in requests.get(page, timeout=60).text

    page = f"{marketplace.url}{path}"
    top_up("click-6", "1,000")
    assert not warned()
    # When a lead takes 500 of them, its notice is delivered, and the page warns
    marketplace.post(f"{path}/leads", lead_id="L-m6", package_price_rupees="100000")
    eventually("the notice has come", warned)
    # And when credit comes, the next notice takes the warning back
    top_up("click-7", "1,500")
    eventually("the next notice has come", lambda: not warned())
    # And nobody else can bring one
    forged = requests.post(f"{marketplace.url}/hooks", data=b"{}", timeout=60)
    assert (forged.status_code, forged.json()["type"]) == (
        400,
        "urn:problem-type:billing:invalid-notice",
    )


def test_what_billing_refuses_is_said_and_changes_nothing(marketplace: Marketplace) -> None:
    account, path = "clinic:market-3", "/clinics/market-3"
    marketplace.post("/clinics", clinic="market-3", name="Market Clinic")

    poor = marketplace.post(f"{path}/replies", status=402, question="Open?").json()
    unknown = requests.get(f"{marketplace.url}/clinics/nobody", timeout=60)
    strange = marketplace.post(
        f"{path}/leads/L-none/disputes", 404, dispute_type="spam", description="Which?", once="a"
    ).json()

    assert (poor["needed"], poor["available"]) == (20, 0)
    assert (unknown.status_code, unknown.json()["type"].rpartition(":")[2]) == (
        404,
        "unknown-account",
    )
    assert strange["type"].endswith(":unknown-lead")
    assert marketplace.credits(account) == []


def test_a_form_that_does_not_fit_is_the_visitors_mistake(marketplace: Marketplace) -> None:
    account, path = "clinic:market-4", "/clinics/market-4"
    marketplace.post("/clinics", clinic="market-4", name="<b>Market</b>")
    marketplace.post(f"{path}/top-ups", package="credits_5000", once="click-4")
    forged: Any = {
        "razorpay_order_id": marketplace.order_of(account),
        "razorpay_payment_id": "pay_1",
        "razorpay_signature": "0" * 64,
    }

    for wrong in (
        marketplace.post("/clinics", 400, clinic="../x", name="Market Clinic"),
        marketplace.post("/clinics", 400, clinic="market-5", name=""),
        marketplace.post(f"{path}/leads", 400, lead_id="L-m4", package_price_rupees="many"),
        marketplace.post(f"{path}/top-ups", 400, package="credits_5000", once=""),
        marketplace.post(f"{path}/paid", 400, **forged),
    ):
        assert wrong.json()["error"]
    assert marketplace.credits(account) == []
    # And what is odd and fits is shown as text, and can be disputed: it is not charged yet
    page = marketplace.post(f"{path}/leads", lead_id="<i>L 1/é", package_price_rupees="12000")
    assert "&lt;b&gt;Market" in page.text
    assert "&lt;i&gt;L 1/é" in page.text
    parked = marketplace.post(
        f"{path}/leads/%3Ci%3EL%201/%C3%A9/disputes", 409,
        dispute_type="spam", description="Odd.", once="click-5",
    ).json()  # fmt: skip
    assert parked["type"].endswith(":lead-not-charged")


@pytest.mark.parametrize("width", [1280, 400])
def test_a_top_up_through_checkout_in_a_browser(
    marketplace: Marketplace, new_page: NewPage, width: int
) -> None:
    # Given a clinic on its page
    page, clinic = new_page(width=width), f"market-{width}"
    page.goto(marketplace.url)
    picture(page, f"marketplace-welcome-{width}")
    page.get_by_label("Short name").fill(clinic)
    page.get_by_label("Name", exact=True).fill("Browser Clinic")
    page.get_by_role("button", name="Open").click()
    assert page.locator("#balance").inner_text() == "0"
    # When it pays in the Checkout that opens, at the second try
    page.get_by_role("button", name="Top up").click()
    checkout = page.frame_locator("iframe")
    checkout.get_by_role("button", name="Let the payment fail").click()
    checkout.get_by_role("button", name="Try again").click()
    checkout.get_by_role("button", name="Pay ₹5,000").click()
    page.wait_for_url(f"**/clinics/{clinic}")
    # Then it is back on its page with the credit, which is in the ledger
    assert page.locator("#balance").inner_text() == "5,500"
    assert marketplace.credits(f"clinic:{clinic}") == TOP_UP
    # And a lead is brought and disputed by buttons
    page.get_by_role("button", name="Bring a lead").click()
    page.get_by_role("button", name="Wrong number").click()
    page.get_by_text("dispute pending").wait_for()
    assert page.locator("#balance").inner_text() == "5,250"
    picture(page, f"marketplace-clinic-{width}")
    assert fits(page)


def fits(page: "Page") -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def approve(stack: Stack, dispute_id: Any) -> None:
    """Approve a dispute as an operator, and wait until it is done."""
    done = stack.billing_process(
        "disputes", "approve", str(dispute_id), "--actor", "test", "--notes", "checked"
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def running(python: Path, port: int, environment: dict[str, str], log: Path) -> Iterator[str]:
    """Run the platform by Flask's own command for as long as the block lasts; yield its address."""
    url = f"http://{ports.HOST}:{port}"
    command = [str(python), "-W", "error", "-m", "flask", "--app", str(APP), "run"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", ports.HOST, "--port", str(port)],
            env=environment, stdout=output, stderr=output, cwd=log.parent,
        )  # fmt: skip
    try:
        eventually("the marketplace answers", lambda: answers(process, url, log))
        yield url
    finally:
        process.terminate()
        process.wait(20)


def answers(process: "subprocess.Popen[bytes]", url: str, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def test_the_sample_is_short_and_uses_the_client_alone() -> None:
    code = APP.read_text()
    assert code.count("\n") < 120
    imported = {
        line.split()[1].partition(".")[0]
        for line in code.splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported == {"os", "uuid", "flask", "billing_client"}
