"""What can go wrong, as types to catch. Messages name fields and ids, never a secret."""


class BillingError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidRequest(BillingError):
    """The arguments make no sense; nothing was sent."""


class Unreachable(BillingError):
    """Nobody answered, after all retries. The lead may have been recorded or not.

    Calling again with `idempotency_key` is safe, as is calling again without: a lead is charged
    once, whatever is sent.
    """

    def __init__(self, message: str, *, idempotency_key: str | None = None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key


class Refused(BillingError):
    """The server answered that the request cannot be taken; the same one never can."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"refused with status {status}: {detail}")
        self.status = status
        self.detail = detail


class Unauthorized(Refused):
    """The webhook secret or the API key is wrong, or may not do this."""


class LeadUnknown(Refused):
    """No lead of this id has an outcome: it was never sent, or is still on its way."""

    def __init__(self, lead_id: str, detail: str) -> None:
        super().__init__(404, detail)
        self.lead_id = lead_id
