"""Who may ask the API for what, and what a request was answered."""

from billing.access import idempotency, keys
from billing.access.errors import ApiKeyExists, InvalidApiKey, UnknownApiKey

__all__ = [
    "ApiKeyExists",
    "InvalidApiKey",
    "UnknownApiKey",
    "idempotency",
    "keys",
]
