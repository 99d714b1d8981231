"""Our receipts on the refunds of a gateway: which are ours, and the refund that has one.

Used by both gateways' readings and clients. The receipts are
`billing/returns/refunds.py::receipt_of`'s.
"""

from collections.abc import Iterable

from billing.returns import RefundFacts
from gateways.entity import Entity
from gateways.errors import GatewayRefused

PREFIX = "ref_"


def ours_or_none(entity: Entity | None) -> str | None:
    """Return a receipt if it looks like ours; a refund from the dashboard may have any other."""
    receipt = entity.receipt_or_none() if entity is not None else None
    return receipt if receipt is not None and receipt.startswith(PREFIX) else None


def find_refund(
    refunds: Iterable[RefundFacts], receipt: str, *, amount_paise: int
) -> RefundFacts | None:
    """Return the refund with our receipt, or None; raises `GatewayRefused` for another amount."""
    for refund in refunds:
        if refund.receipt != receipt:
            continue
        if refund.amount_paise != amount_paise:
            raise GatewayRefused(
                refund.gateway,
                "the receipt belongs to a refund of another amount",
                status=None,
                field="receipt",
            )
        return refund
    return None
