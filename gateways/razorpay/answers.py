"""What Razorpay's refusals say. Used below its SDK, by `client.py`.

Source of the texts: razorpay.com/docs/errors and the failure samples of razorpay/markdown-docs.
"""

import re
from collections.abc import Mapping

from errors import BillingError
from gateways import transport
from gateways.entity import one_line
from gateways.errors import GatewayKeyRefused, GatewayNotFound, GatewayRefused, OutcomeUnknown

_KEY_IS_BAD = re.compile(
    "authentication failed|api (key|secret) provided is invalid", re.IGNORECASE
).search
_NOT_FOUND = re.compile("id provided does not exist|is not a valid id", re.IGNORECASE).search
"""Of an answer of 400: unlike most APIs it keeps 404 for paths."""
_UNDER_WAY = re.compile("still in progress", re.IGNORECASE).search


class RazorpayRefused(GatewayRefused):
    """A refusal with Razorpay's own word for why: `extra_field_sent`."""

    def __init__(self, reason: str, *, status: int, field: str | None, why: str) -> None:
        super().__init__("razorpay", reason, status=status, field=field)
        self.why = why


class Session(transport.Session):
    """HTTP to Razorpay."""

    gateway = "razorpay"
    key_variables = "RAZORPAY_KEY_ID and RAZORPAY_KEY_SECRET"

    def error_in(self, content: Mapping[str, object]) -> Mapping[str, object] | None:
        """Return the error object, also of the other shape that disputes are refused in."""
        errors = content.get("errors")  # `{status_code, success, errors: [text, ...]}`
        if "error" not in content and isinstance(errors, list) and errors:
            return {"description": errors[0]}
        return super().error_in(content)

    def refusal(self, status: int, error: Mapping[str, object]) -> BillingError:
        """Return what `{code, description, field, source, step, reason, metadata}` says."""
        description = one_line(error.get("description"))
        if _KEY_IS_BAD(description):
            return GatewayKeyRefused(self.gateway, self.key_variables)
        if one_line(error.get("code")) in {"SERVER_ERROR", "GATEWAY_ERROR"}:
            return OutcomeUnknown(self.gateway, f"status {status}")
        if _UNDER_WAY(description):
            return OutcomeUnknown(self.gateway, "the same call is still under way there")
        field = one_line(error.get("field"))
        named = None if field in {"", "NA"} else field
        reason = description or f"status {status}"
        if status == 404 or _NOT_FOUND(description):
            return GatewayNotFound(self.gateway, reason, status=status, field=named)
        why = one_line(error.get("reason"))
        return RazorpayRefused(reason, status=status, field=named, why=why)
