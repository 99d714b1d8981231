"""API keys and their scopes; requests under an Idempotency-Key and their answers."""

from billing.access import idempotency, keys
from billing.access.errors import (
    AnswerNotKept,
    AnswerOutOfReach,
    ApiKeyExists,
    InvalidApiKey,
    UnknownApiKey,
)

__all__ = [
    "AnswerNotKept",
    "AnswerOutOfReach",
    "ApiKeyExists",
    "InvalidApiKey",
    "UnknownApiKey",
    "idempotency",
    "keys",
]
