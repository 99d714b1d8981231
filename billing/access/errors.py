"""What is refused of API keys."""

from errors import InvalidField, NotFound, PermanentError


class InvalidApiKey(InvalidField):
    """A field of a new key for the API does not make sense."""


class ApiKeyExists(PermanentError):
    """The name is taken, if only by a key that is revoked: the audit log names keys by it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is or was an API key {name!r}: choose another name")
        self.name = name


class UnknownApiKey(NotFound):
    """No key was made under this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no API key {name!r} was made here: see `billing api-keys list`")
        self.name = name
