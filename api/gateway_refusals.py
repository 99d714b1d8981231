"""What a caller is told when a gateway refuses, is not set up, or gives no clear answer."""

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
def told() -> Iterator[None]:
    """Raise a `Refusal` in place of what goes wrong with an order or its gateway.

    What is not settled is a 503: under the same Idempotency-Key it may be asked again.
    """
    try:
        yield
    except InvalidOrder as error:
        raise bad_field(error.field, error.problem) from error
    except IdempotencyConflict as error:
        # A refusal leaves a key like new, and yet its order stays what it was.
        raise idempotency.conflict() from error
    except GatewayNotConfigured as error:
        raise bad_field("gateway", "is not set up here") from error
    except GatewayRefused as error:
        raise bad_field("gateway", f"refused: {error.reason}") from error
    except (GatewayKeyRefused, GatewayUnavailable) as error:
        raise _later("gateway-unavailable", "the gateway cannot be asked now", error) from error
    except OutcomeUnknown as error:
        raise _later("outcome-unknown", "the gateway gave no clear answer", error) from error


def _later(kind: str, detail: str, error: Exception) -> Refusal:
    log.error("gateway failed", error=f"{type(error).__name__}: {error}")
    return Refusal(
        503,
        f"{detail}: ask again with the same Idempotency-Key",
        kind=kind,
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
