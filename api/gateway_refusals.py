"""The refusals of a call to a gateway that refuses, is not configured, or gives no clear answer."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from api import idempotency
from api.problems import RETRY_AFTER_SECONDS, Refusal, bad_field
from billing.errors import IdempotencyConflict
from billing.plans import InvalidOrder
from gateways.errors import (
    GatewayKeyRefused,
    GatewayNotConfigured,
    GatewayRefused,
    GatewayUnavailable,
    OutcomeUnknown,
)

log = structlog.get_logger()


@contextmanager
def raised() -> Iterator[None]:
    """Raise a `Refusal` for each error of the rules or the gateway in the block.

    An open outcome is a 503: the same request may be repeated with its Idempotency-Key.
    """
    try:
        yield
    except InvalidOrder as error:
        raise bad_field(error.field, error.problem) from error
    except IdempotencyConflict as error:
        # A refusal makes the key free again, but its order is still there.
        raise idempotency.conflict() from error
    except GatewayNotConfigured as error:
        raise bad_field("gateway", "is not configured on this server") from error
    except GatewayRefused as error:
        raise bad_field("gateway", f"refused: {error.reason}") from error
    except (GatewayKeyRefused, GatewayUnavailable) as error:
        raise _later("gateway-unavailable", "the gateway is not available now", error) from error
    except OutcomeUnknown as error:
        raise _later("outcome-unknown", "the gateway gave no clear answer", error) from error


def _later(kind: str, detail: str, error: Exception) -> Refusal:
    log.error("gateway failed", error=f"{type(error).__name__}: {error}")
    return Refusal(
        503,
        f"{detail}: repeat the request with the same Idempotency-Key",
        kind=kind,
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
