"""The settings of a process, from its environment: one frozen object, read once.

Every variable that the product reads is in this package and nowhere else
(docs/reference/settings.md). Here stands what all processes share. `listeners.py` has what one
server needs alone, `lists.py` how several values stand in one variable, `database_url.py` and
`redis_url.py` how addresses are read.

A variable that is set always wins; `running_stack.py` says what stands in for one that is not set.
Blanks and line ends around a value do not belong to it. A value that is wrong stops who reads it
(`judging.py`): a command judges what it needs, and every server judges all at its start.
"""

import base64
import binascii
import ipaddress
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from settings import database_url as database_urls
from settings import lists, mail, public_url, redis_url, running_stack
from settings.errors import SettingsError
from settings.judging import Contradiction, Judged
from settings.listeners import Listener, Login, flower_logins, listener
from settings.mail import Sender, SmtpAddress
from settings.redis_url import RedisAddress
from settings.running_stack import file_of as stack_file

__all__ = [
    "API_KEY", "API_KEY_NAME", "CLOCK_VARIABLE", "PROJECT_DIR", "Listener", "Login", "Sender",
    "Settings", "SettingsError", "SmtpAddress", "WEB_SECRET_MIN_LENGTH", "flower_logins", "get",
    "is_live_key", "listener", "lists", "load", "require", "stack_file",
]  # fmt: skip

PROJECT_DIR = Path(__file__).resolve().parent.parent
CLOCK_VARIABLE = "BILLING_DEVELOPMENT_CLOCK"

API_KEY_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""The name of an API key; it stands in the audit log as `api-key:<name>`."""
API_KEY = re.compile("[A-Za-z0-9._~+/-]{16,500}")
"""The characters of an API key: those of a bearer token (RFC 6750, 2.1)."""

DATABASE_URLS = tuple(sorted(running_stack.DATABASES))

Days = Annotated[int, Field(ge=0, le=36_500)]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
WEB_SECRET_MIN_LENGTH = 32

_LIVE_KEY = re.compile("(rzp_live|[sr]k_live|[sr]k_org)_", re.IGNORECASE)
"""The beginnings of gateway keys that move real money; `sk_org_` opens all accounts of a company.
In other letters it is a key that was written wrongly: better live by mistake than played with."""


class Settings(Judged):
    """The environment. Secrets never appear in its repr or in its errors.

    To read a value that is wrong raises `SettingsError`.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=False, env_ignore_empty=True
    )

    database_url: str = Field(default="", repr=False)
    """SQLAlchemy URL of PostgreSQL 15 or newer, in the one form of `database_url.py`."""
    database_owner_url: str = Field(default="", repr=False)
    """The role that migrates and makes API keys; by default `database_url`."""
    database_doors_url: str = Field(default="", repr=False)
    """The role of receiver and API; by default `database_url`."""
    database_retention_url: str = Field(default="", repr=False)
    """The role that blanks what is past its time; by default `database_owner_url`."""
    redis_url: str = Field(default="", repr=False)
    """The broker, Redis 6.2 or newer, as it was written; `redis` is what that says."""

    billing_data_dir: Path = PROJECT_DIR / ".data"
    billing_development_clock: Path | None = None
    """The file that moves time (`clock/`); only the development stack sets it."""
    billing_timezone: str = "Asia/Kolkata"
    """Time zone of a new account, unless one is given (IANA name)."""
    billing_catalog: Path = PROJECT_DIR / "catalog.toml"
    log_level: str = "INFO"
    log_format: str = "auto"
    """`json`, `console`, or `auto`: console on a terminal, else JSON."""

    lead_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Standard Webhooks secrets (`whsec_` + base64); a signature by any of them is valid."""
    api_keys: Annotated[dict[str, SecretStr], NoDecode] = Field(default={})
    """Name -> key with every scope, from comma-separated `name:key`; see
    `billing/access/keys.py`."""
    api_url: str = ""
    """The API's address for its callers, in its OpenAPI document; empty: where it listens."""

    retention_bodies_days: Days = 180
    """Bodies of finished deliveries are blanked after so many days; zero: never. A payer's bank may
    dispute a payment for 120 days, and the gateway then waits for an answer for some weeks."""
    retention_dead_days: Days = 365
    """The same for dead deliveries, which can be replayed until then."""
    retention_answers_days: Days = 90
    """Answers stored under an Idempotency-Key; a repeat after them is refused."""
    events_kept_days: Days = 90
    """Notices stay readable for platforms (`GET /v1/events`) for so many days; zero: for ever."""

    api_requests_kept: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000
    """How many of the API's recent requests Redis keeps for `billing requests`; zero: none."""

    razorpay_key_id: str = ""
    """`rzp_test_...` or `rzp_live_...`; empty: Razorpay is not set up here."""
    razorpay_key_secret: SecretStr = SecretStr("")
    razorpay_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """A signature by any of them is valid; keep an old one until its retries have ended (a day)."""
    razorpay_api_base: str = "https://api.razorpay.com"
    """Without `/v1`, which the SDK adds."""
    stripe_api_key: SecretStr = SecretStr("")
    """Empty: Stripe is not set up here."""
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    stripe_api_base: str = "https://api.stripe.com"

    web_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """What `service/signing.py` derives its keys from; the first is the newest."""
    web_url: str = ""
    """The address of the pages for people, in the links of mails; empty: where `web` listens."""
    web_admin: bool = False
    """Whether this `web` process answers the operators' pages too."""
    smtp_url: str = Field(default="", repr=False)
    """The server that takes our mails (`mail.py`); empty: no mail is sent. `smtp` is what it says.
    """
    mail_from: str = ""
    """`address` or `Name <address>`; `sender` is what it says."""
    notice_allow_cidrs: Annotated[tuple[Network, ...], NoDecode] = ()
    """Networks that notices may be sent to although their addresses are not global."""

    @property
    def zone(self) -> ZoneInfo:
        """The zone of `billing_timezone`."""
        return ZoneInfo(self.billing_timezone)

    @property
    def redis(self) -> RedisAddress:
        """What `redis_url` says; `service/redis_url.py` makes of it what each library needs."""
        return redis_url.read(self.redis_url)

    @property
    def is_development_stack(self) -> bool:
        """Whether this is a stack of `make run`, where money and strangers may be played.

        It alone has a clock that can be moved, and no real money is near: no gateway's key is live.
        """
        return self.billing_development_clock is not None and not self._has_a_live_key

    @property
    def _has_a_live_key(self) -> bool:
        keys = (self.razorpay_key_id, self.stripe_api_key.get_secret_value())
        return any(map(is_live_key, keys))

    @property
    def smtp(self) -> SmtpAddress | None:
        """What `smtp_url` says; None: no mail is sent."""
        return mail.read_server(self.smtp_url) if self.smtp_url else None

    @property
    def sender(self) -> Sender | None:
        """What `mail_from` says; there is one whenever there is an `smtp`."""
        return mail.read_sender(self.mail_from) if self.mail_from else None

    @property
    def web_address(self) -> str:
        """The address of the pages: `web_url`, else where `web` listens. Raises `SettingsError`."""
        where = listener("web")
        return self.web_url or f"http://{where.host}:{where.port}"

    @model_validator(mode="before")
    @classmethod
    def _stripped(cls, values: dict[str, Any]) -> dict[str, Any]:
        # `echo`, and a file that is mounted as a secret, leave a line end.
        stripped = {n: v.strip() if isinstance(v, str) else v for n, v in values.items()}
        return {name: value for name, value in stripped.items() if value != ""}

    @field_validator(*DATABASE_URLS)
    @classmethod
    def _in_one_form(cls, url: str) -> str:
        return database_urls.read(url) if url else url

    @field_validator("redis_url")
    @classmethod
    def _readable(cls, url: str) -> str:
        if url:
            redis_url.read(url)
        return url

    @field_validator("billing_timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("is not an IANA time zone such as Asia/Kolkata") from error
        return name

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        if level.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return level.upper()

    @field_validator("log_format")
    @classmethod
    def _known_format(cls, name: str) -> str:
        if name not in {"auto", "json", "console"}:
            raise ValueError("must be auto, json or console")
        return name

    @field_validator(
        "lead_webhook_secrets", "razorpay_webhook_secrets", "stripe_webhook_secrets", "web_secrets",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _listed(cls, value: object) -> object:
        return lists.split(value) if isinstance(value, str) else value

    @field_validator("razorpay_webhook_secrets", "stripe_webhook_secrets")
    @classmethod
    def _long_enough(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        lists.check_secrets(tuple(secret.get_secret_value() for secret in secrets))
        return secrets

    @field_validator("lead_webhook_secrets")
    @classmethod
    def _standard_webhooks_secrets(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for position, secret in enumerate(secrets, start=1):
            text = secret.get_secret_value()
            try:
                key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
            except (binascii.Error, ValueError):
                key = b""
            # 24 to 64 random bytes: Standard Webhooks 1.0.0, "Signature scheme".
            if not text.startswith("whsec_") or not 24 <= len(key) <= 64:
                raise ValueError(
                    f"secret {position} must be whsec_ followed by the base64 of 24 to 64 bytes"
                )
        return secrets

    @field_validator("api_keys", mode="before")
    @classmethod
    def _named_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys: dict[str, str] = {}
        for position, entry in enumerate(lists.split(value), start=1):
            # Neither part is shown: if they are mixed up, the key would stand in a log.
            name, _, key = entry.partition(":")
            if not API_KEY_NAME.fullmatch(name) or not API_KEY.fullmatch(key):
                raise ValueError(
                    f"entry {position} must be name:key, the key at least 16 of the characters"
                    " A-Z a-z 0-9 . _ ~ + / -"
                )
            if name in keys or key in keys.values():
                raise ValueError(f"entry {position} repeats the name or the key of another")
            keys[name] = key
        return keys

    @field_validator("razorpay_api_base", "stripe_api_base")
    @classmethod
    def _http_address(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url.rstrip("/")

    @field_validator("api_url", "web_url")
    @classmethod
    def _public_address(cls, url: str) -> str:
        return public_url.read(url) if url else url

    @field_validator("web_secrets")
    @classmethod
    def _as_long_as_a_key(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        texts = tuple(secret.get_secret_value() for secret in secrets)
        lists.check_secrets(texts, min_length=WEB_SECRET_MIN_LENGTH)
        return secrets

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, url: str) -> str:
        if url:
            mail.read_server(url)
        return url

    @field_validator("mail_from")
    @classmethod
    def _mail_address(cls, text: str) -> str:
        if text:
            mail.read_sender(text)
        return text

    @field_validator("notice_allow_cidrs", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return tuple(ipaddress.ip_network(entry) for entry in lists.split(value))
        except ValueError as error:
            raise ValueError(f"must be networks such as 10.0.0.0/8,fd00::/8 ({error})") from None

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield which values do not go together."""
        if bool(self.razorpay_key_id) != bool(self.razorpay_key_secret.get_secret_value()):
            pair = ("razorpay_key_id", "razorpay_key_secret")
            yield Contradiction(
                pair, "RAZORPAY_KEY_ID and RAZORPAY_KEY_SECRET: set both or neither"
            )
        if 0 < self.retention_dead_days < (self.retention_bodies_days or self.retention_dead_days):
            yield Contradiction(
                ("retention_dead_days", "retention_bodies_days"),
                "RETENTION_DEAD_DAYS: must be at least RETENTION_BODIES_DAYS"
                f" ({self.retention_bodies_days}), or 0: a dead delivery is still to be replayed",
            )
        yield from self._missing_for_mail()
        if self.billing_development_clock and self._has_a_live_key:
            yield Contradiction(
                ("billing_development_clock",),
                "BILLING_DEVELOPMENT_CLOCK: time cannot be moved while a gateway's key is live:"
                " unset it, or use a key of test mode (if it is not set, the running stack of"
                " `make run` has filled it in: unset the key, or set DATABASE_URL)",
                also_stops=DATABASE_URLS,  # nobody works with it at either time
            )

    def _missing_for_mail(self) -> Iterator[Contradiction]:
        reasons = {
            "mail_from": "a mail needs an address that it comes from",
            "web_secrets": "a mail holds links that are signed by it",
            "web_url": "a mail holds links, and this is their beginning",
        }
        for name, reason in reasons.items():
            if self.smtp_url and not getattr(self, name):
                line = f"{name.upper()} is not set: {reason}; set it, or unset SMTP_URL"
                yield Contradiction((name,), line, also_stops=("smtp_url",))


@lru_cache(maxsize=1)
def get() -> Settings:
    """Return the settings of this process, read at the first call, for who needs some of them.

    Raises nothing: to read one that is missing or wrong raises `SettingsError`.
    """
    return _read()


def require(*names: str) -> Settings:
    """Return the settings of this process if those of `names` are right; without names: if all are.

    Each server requires all at its start. Raises `SettingsError` with one line for each variable
    that is missing or wrong.
    """
    return get().require(*names)


def load() -> Settings:
    """Read the environment anew. Raises `SettingsError` as `require` does."""
    return _read().require()


def _read() -> Settings:
    """Read the environment, and fill its gaps from the running development stack."""
    environment = {name.lower(): value.strip() for name, value in os.environ.items()}
    data_dir = Path(environment.get("billing_data_dir") or PROJECT_DIR / ".data")
    return Settings.judged(
        running_stack.fill_in(data_dir, environment),
        required={name: _is_not_set(name.upper(), data_dir) for name in _REQUIRED},
        defaults=_ROLES_THAT_ARE_NOT_SPLIT,
    )


def _is_not_set(variable: str, data_dir: Path) -> str:
    return (
        f"{variable} is not set, and no development stack is up in {data_dir}:"
        f" start one with `make run`, or set {variable}"
    )


_REQUIRED = ("database_url", "redis_url")
_ROLES_THAT_ARE_NOT_SPLIT = {
    "database_owner_url": "database_url",
    "database_doors_url": "database_url",
    "database_retention_url": "database_owner_url",
}
"""Role -> whose address it has unless it is given one."""


def is_live_key(key: str) -> bool:
    """Return whether real money moves with a gateway's key."""
    return _LIVE_KEY.match(key.strip()) is not None
