"""Personal data: how long it stays, and how one person's is erased."""

from billing.privacy import erasure, retention
from billing.privacy.errors import InvalidIdentity, ReasonNamesPerson
from billing.privacy.identity import Identity

__all__ = ["Identity", "InvalidIdentity", "ReasonNamesPerson", "erasure", "retention"]
