"""An API that sells, both gateways as simulators behind it, and customers who pay."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devstack.simulator.config import Config
from tests.api.api_process import ApiProcess
from tests.gateways.conftest import KEY_ID, KEY_SECRET, STRIPE_KEY, Sim
from tests.server_process import Answer

GATEWAYS = Config(
    port=0, seed=11, razorpay_key_id=KEY_ID, razorpay_key_secret=KEY_SECRET,
    stripe_api_key=STRIPE_KEY,
)  # fmt: skip
RETURN_URL = "https://clinic.example/credits"


def environment(database_url: str, house_key: str, sim: Sim) -> dict[str, str | None]:
    """What an API is started with that sells at the gateways of `sim`."""
    return {
        "DATABASE_URL": database_url,
        "API_KEYS": f"house:{house_key}",
        "RAZORPAY_KEY_ID": KEY_ID,
        "RAZORPAY_KEY_SECRET": KEY_SECRET,
        "RAZORPAY_API_BASE": sim.url,
        "STRIPE_API_KEY": STRIPE_KEY,
        "STRIPE_API_BASE": sim.stripe_url,
    }


def wish(account: str, gateway: str = "razorpay", **wanted: object) -> dict[str, object]:
    """The body of an order, by default of the package of Rs 5,000."""
    if not wanted.keys() & {"package", "amount_paise", "plan"}:
        wanted["package"] = "credits_5000"
    if gateway == "stripe":
        wanted.setdefault("return_url", RETURN_URL)
    return {"account": account, "gateway": gateway, **wanted}


@dataclass
class Shop:
    """The ways to buy."""

    api: ApiProcess
    sim: Sim
    house_key: str
    signatures: list[str] = field(default_factory=list)
    """Of checkouts; none may be logged."""

    def post(
        self, path: str, body: Mapping[str, Any], *, once: str | None = None, key: str | None = None
    ) -> Answer:
        """POST as the platform, or with another key."""
        return self.api.post(path, key or self.house_key, body, once=once)

    def buy(self, account: str, gateway: str = "razorpay", **wanted: object) -> Any:
        """Open an order; what was answered."""
        answer = self.post("/v1/orders", wish(account, gateway, **wanted))
        assert answer.status == 201, answer.body
        return answer.json

    def pay(self, order_id: str, outcome: str = "success") -> dict[str, str]:
        """Play a customer at Razorpay's checkout; what a browser then brings to `verify`."""
        shown = self.sim.pay(order_id, outcome)
        signature = shown.get("razorpay_signature", "")
        if signature:
            self.signatures.append(signature)
        return {
            "order_id": order_id,
            "payment_id": shown["razorpay_payment_id"],
            "signature": signature,
        }

    def verify(
        self, brought: Mapping[str, object], *, once: str | None = None, key: str | None = None
    ) -> Answer:
        """Bring it."""
        return self.post("/v1/payments/verify", brought, once=once, key=key)

    def at_razorpay(self, account: str) -> list[Any]:
        """The orders that Razorpay has of an account."""
        orders = self.sim.world.razorpay.orders.values()
        return [order for order in orders if order["notes"] == {"account": account}]

    def at_stripe(self, account: str) -> list[Any]:
        """The sessions that Stripe has of an account."""
        sessions = self.sim.world.stripe.sessions.values()
        return [one for one in sessions if one["metadata"].get("account") == account]
