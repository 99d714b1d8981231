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
    known = settings.require("database_url", "redis_url")
    keys = (known.razorpay_key_id, known.stripe_api_key.get_secret_value())
    # Only such a stack has a clock that can be moved (`clock/development.py`).
    if known.billing_development_clock is None or any(map(settings.is_live_key, keys)):
        raise NotInDevelopment(command)
