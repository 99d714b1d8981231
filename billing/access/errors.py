"""The errors of API keys, and of requests under an Idempotency-Key."""

from errors import InvalidField, NotFound, PermanentError


class InvalidApiKey(InvalidField):
    """A field of a new API key is invalid."""


class ApiKeyExists(PermanentError):
    """The name is taken, perhaps by a revoked key: the audit log names keys by it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the API key name {name!r} is taken: choose another name")
        self.name = name


class AnswerNotKept(PermanentError):
    """The request under this Idempotency-Key is so old that its answer was dropped."""

    def __init__(self, status: int | None) -> None:
        ended = "ended without an answer" if status is None else f"was answered {status}"
        super().__init__(
            f"the request with this Idempotency-Key {ended}, and is older than answers are kept:"
            " nothing was done now. Look up what it did; send a new key with a new request"
        )
        self.status = status


class UnknownApiKey(NotFound):
    """No API key was created with this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no API key {name!r}: see `billing api-keys list`")
        self.name = name


class AnswerOutOfReach(PermanentError):
    """The answer under this Idempotency-Key was given when the API key had another reach."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"the answer to {key!r} was given when this API key had another product or account:"
            " send a new Idempotency-Key"
        )
        self.key = key
