"""Stripe's refusals, in its words if they are known."""

from flask import Response

from devstack.simulator.answers import answer

NEVER_AGAIN = {"Stripe-Should-Retry": "false"}


class ApiError(Exception):
    """A request is refused; becomes Stripe's error body."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        fields = {"code": code, "message": message, "param": param, "type": kind}
        self.body = {"error": {name: value for name, value in fields.items() if value is not None}}

    def response(self) -> Response:
        """Return the answer."""
        return answer(self.body, self.status, indent=2)


def missing(what: str, entity_id: str, param: str) -> ApiError:
    """Return the refusal of an id."""
    return ApiError(
        f"No such {what}: '{entity_id}'", status=404, code="resource_missing", param=param
    )


def fault(status: int) -> Response:
    """Return the answer of a door that lets nobody in."""
    if status == 429:
        return ApiError("Request rate limit exceeded.", status=429, code="rate_limit").response()
    return ApiError("An unknown error occurred", status=status, kind="api_error").response()
