"""What only a development stack may do: play with money, leads and receivers of notices."""

import settings
from errors import PermanentError


class NotInDevelopment(PermanentError):
    """The command would write into real books."""

    def __init__(self, command: str) -> None:
        super().__init__(
            f"`billing {command}` works in development only: on the stack of `make run`, with the"
            " PostgreSQL that it brings along and no live key of a gateway. Start such a stack, and"
            " unset DATABASE_URL if it names another database"
        )


def require_development(command: str) -> None:
    """Refuse a command unless this is the database of a development stack without a live key.

    Raises `NotInDevelopment`, or `settings.SettingsError`.
    """
    if not settings.require("database_url", "redis_url").is_development_stack:
        raise NotInDevelopment(command)
