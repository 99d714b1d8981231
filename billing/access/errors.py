"""The errors of API keys."""

from errors import InvalidField, NotFound, PermanentError


class InvalidApiKey(InvalidField):
    """A field of a new API key is invalid."""


class ApiKeyExists(PermanentError):
    """The name is taken, perhaps by a revoked key: the audit log names keys by it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the API key name {name!r} is taken: choose another name")
        self.name = name


class UnknownApiKey(NotFound):
    """No API key was created with this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no API key {name!r}: see `billing api-keys list`")
        self.name = name
