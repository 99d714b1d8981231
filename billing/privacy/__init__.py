"""Personal data: how long it stays."""

from billing.privacy import retention

__all__ = ["retention"]
