"""Why a refund is refused."""

from errors import InvalidField, NotFound, PermanentError


class CannotRefund(PermanentError):
    """The payment, or this amount of it, cannot be refunded."""

    def __init__(self, payment_id: str, problem: str, *, refundable_paise: int = 0) -> None:
        super().__init__(f"payment {payment_id} {problem}: nothing was changed")
        self.payment_id = payment_id
        self.problem = problem
        self.refundable_paise = refundable_paise


class InvalidRefund(InvalidField):
    """A field of a refund cannot be stored."""


class UnknownRefund(NotFound):
    """No refund has this id."""

    def __init__(self, refund_id: object) -> None:
        super().__init__(f"unknown refund {refund_id}: `billing refunds list` shows the newest")
        self.refund_id = refund_id
