"""Razorpay's refusals, worded as it words them."""

from typing import Any

from flask import Response

from devstack.simulator.answers import answer


class ApiError(Exception):
    """A request is refused; becomes Razorpay's error body."""

    def __init__(
        self,
        description: str,
        *,
        status: int = 400,
        code: str = "BAD_REQUEST_ERROR",
        field: str | None = None,
        source: str = "business",
        step: str = "payment_initiation",
        reason: str = "input_validation_failed",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(description)
        self.status = status
        self.body = {
            "error": {
                "code": code, "description": description, "source": source, "step": step,
                "reason": reason, "metadata": metadata or {}, "field": field,
            }
        }  # fmt: skip
        if field is None:
            del self.body["error"]["field"]  # as often as not it is left out

    def response(self) -> Response:
        """Return the answer."""
        return answer(self.body, self.status)


def unknown_id(entity_id: str, prefix: str) -> ApiError:
    """Return the refusal of an id; 400 and not 404, unlike most APIs."""
    name, _, rest = entity_id.partition("_")
    if name == prefix and len(rest) == 14 and rest.isalnum() and rest.isascii():
        return ApiError("The id provided does not exist")
    return ApiError(f"{entity_id} is not a valid id")


def fault(status: int) -> Response:
    """Return the answer of a door that lets nobody in; no sample of a 429 is published."""
    if status == 429:
        return ApiError(
            "Request failed", status=429, reason="NA", source="NA", step="NA"
        ).response()
    return ApiError(
        "The server encountered an error. The incident has been reported to admins.",
        status=status, code="SERVER_ERROR", reason="server_error", source="internal", step="NA",
    ).response()  # fmt: skip
