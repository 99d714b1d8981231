"""Errors of orders and payments."""

from collections.abc import Sequence

from errors import NotFound, PermanentError
from service.disclosure import fingerprint


class OrderAtOdds(PermanentError):
    """A gateway has another amount or currency under our receipt than was ordered."""

    def __init__(self, receipt: str) -> None:
        super().__init__(
            f"the gateway's order for receipt {receipt} has another amount or currency than was"
            " ordered: compare it with the order in the gateway's dashboard"
        )
        self.receipt = receipt


class UnknownPayment(NotFound):
    """No payment has this id."""

    def __init__(self, payment_id: str) -> None:
        todo = "`billing payments list` shows the newest"
        super().__init__(
            f"unknown payment {payment_id!r}: {todo}",
            logged=f"unknown payment {fingerprint(payment_id)}: {todo}",
        )
        self.payment_id = payment_id


class AmbiguousPayment(PermanentError):
    """Several gateways have a payment with this id."""

    def __init__(self, payment_id: str, gateways: Sequence[str]) -> None:
        super().__init__(
            f"{' and '.join(gateways)} both have a payment {payment_id!r}: say which gateway"
        )
        self.payment_id = payment_id
        self.gateways = tuple(gateways)


class CannotAttach(PermanentError):
    """A payment cannot be given to this account."""

    def __init__(self, payment_id: str, problem: str) -> None:
        super().__init__(f"payment {payment_id} {problem}: nothing was changed")
        self.payment_id = payment_id
