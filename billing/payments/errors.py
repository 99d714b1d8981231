"""What is refused of orders and payments."""

from errors import NotFound, PermanentError


class OrderAtOdds(PermanentError):
    """A gateway has another amount or currency under our receipt than was ordered."""

    def __init__(self, receipt: str) -> None:
        super().__init__(f"the gateway's order of receipt {receipt} is not what was ordered")
        self.receipt = receipt


class UnknownPayment(NotFound):
    """No payment has this id."""

    def __init__(self, payment_id: str) -> None:
        super().__init__(
            f"unknown payment {payment_id!r}: `billing payments list` shows the newest"
        )
        self.payment_id = payment_id


class CannotAttach(PermanentError):
    """A payment cannot be given to this account."""

    def __init__(self, payment_id: str, problem: str) -> None:
        super().__init__(f"payment {payment_id} {problem}: nothing was changed")
        self.payment_id = payment_id
