"""The settings: defaults, what a stack fills in, and errors that name variables, not secrets."""

import json
import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

import settings
from settings import SettingsError, listeners, mail

SECRET = "whsec_" + "dGVzdHMtb25seS1zZWNyZXQtb2YtMzItYnl0ZXMhISE="
DATABASE = "postgresql://ops:s3cr3t-pass@db.example/billing"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Set only what the settings need; no stack runs."""
    known = {name.upper() for name in settings.Settings.model_fields}
    known |= {f"{name.upper()}_{what}" for name in listeners.PORTS for what in ("PORT", "HOST")}
    known.add(listeners.FLOWER_VARIABLE)
    for name in list(os.environ):
        if name.upper() in known:
            monkeypatch.delenv(name)
    monkeypatch.setenv("DATABASE_URL", DATABASE)
    monkeypatch.setenv("REDIS_URL", "redis://broker.example/0")
    monkeypatch.setenv("BILLING_DATA_DIR", str(tmp_path))
    settings.get.cache_clear()
    yield
    settings.get.cache_clear()


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        settings.load()
    return str(caught.value)


def write_stack_file(folder: Path, **addresses: object) -> None:
    settings.stack_file(folder).write_text(json.dumps(addresses))


def test_an_unset_variable_has_the_documented_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BILLING_DATA_DIR")

    found = settings.load()

    names = ("receiver", "api", "web", "flower", "simulator", "sink", "sink_smtp")
    ports = [settings.listener(name).port for name in names]
    assert ports == [8000, 8001, 8002, 5555, 8009, 8025, 1025]
    assert {settings.listener(name).host for name in names} == {"127.0.0.1"}
    assert settings.flower_logins() == ()
    assert found.billing_timezone == "Asia/Kolkata"
    assert found.billing_data_dir == settings.PROJECT_DIR / ".data"
    assert found.billing_catalog == settings.PROJECT_DIR / "catalog.toml"
    assert found.lead_webhook_secrets == ()
    assert found.api_keys == {}
    assert found.database_owner_url == found.database_url


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_address_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)

    message = refusal()

    assert variable in message
    assert "is not set" in message
    assert "make run" in message


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("DATABASE_URL", "mysql://ops:s3cr3t-pass@db/billing", "must start with postgresql://"),
        ("DATABASE_URL", "postgresql+asyncpg://ops:s3cr3t-pass@db/billing", "postgresql://"),
        ("DATABASE_URL", "ops:s3cr3t-pass@db/billing", "postgresql://"),
        ("DATABASE_URL", "postgresql:ops:s3cr3t-pass@db/billing", "postgresql://"),
        ("DATABASE_URL", "postgresql://ops:s3cr3t-pass@db:port/billing", ""),
        ("DATABASE_OWNER_URL", "mysql://ops:s3cr3t-pass@db/billing", "postgresql://"),
        ("REDIS_URL", "http://ops:s3cr3t-pass@broker", "must start with redis://"),
        ("REDIS_URL", "broker:6379", "must start with redis://"),
        ("REDIS_URL", "redis://ops:s3cr3t-pass@broker:port/0", ""),
        ("API_URL", "billing.example", "must be an address such as https://"),
        ("API_URL", "ftp://billing.example", "must be an address such as https://"),
        ("API_URL", "https://", "must be an address such as https://"),
        ("API_URL", "https://billing.example:port", "must be an address such as https://"),
        ("API_URL", "https://billing.example/the api", "must be an address such as https://"),
        ("API_URL", "https://ops:s3cr3t-pass@billing.example", "must hold no user, no query"),
        ("API_URL", "https://billing.example/?key=s3cr3t-pass", "must hold no user, no query"),
        ("API_URL", "https://billing.example/#s3cr3t-pass", "must hold no user, no query"),
        ("BILLING_TIMEZONE", "Kolkata", "IANA time zone such as Asia/Kolkata"),
        ("BILLING_TIMEZONE", "../../etc/passwd", "IANA time zone"),
        ("BILLING_TIMEZONE", "Asia", "IANA time zone"),
        ("BILLING_TIMEZONE", "x" * 5_000, "IANA time zone"),
        ("LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING or ERROR"),
        ("LOG_FORMAT", "xml", "auto, json or console"),
        ("LEAD_WEBHOOK_SECRETS", "s3cr3t-pass", "secret 1 must be whsec_"),
        ("LEAD_WEBHOOK_SECRETS", "whsec_s3cr3t-pass", "secret 1 must be whsec_"),
        ("LEAD_WEBHOOK_SECRETS", "whsec_", "secret 1 must be whsec_"),
        ("LEAD_WEBHOOK_SECRETS", "whsec_" + "A" * 28, "24 to 64 bytes"),
        ("LEAD_WEBHOOK_SECRETS", "whsec_" + "A" * 88, "24 to 64 bytes"),
        ("LEAD_WEBHOOK_SECRETS", SECRET.removeprefix("whsec_"), "secret 1 must be whsec_"),
        ("LEAD_WEBHOOK_SECRETS", f"{SECRET}, s3cr3t-pass", "secret 2 must be whsec_"),
        ("WEB_SECRETS", "s3cr3t-pass", "secret 1 has 11 characters, and 32 are the least"),
        ("WEB_SECRETS", "s" * 32 + ",s3cr3t-pass", "secret 2 has 11 characters"),
        ("WEB_URL", "billing.example", "must be an address such as https://"),
        ("WEB_ADMIN", "perhaps", "valid boolean"),
        ("SMTP_URL", "mail.example:25", "must start with smtp+starttls://, smtps:// or smtp://"),
        ("SMTP_URL", "http://ops:s3cr3t-pass@mail.example", "must start with smtp+starttls://"),
        ("SMTP_URL", "smtp://ops:s3cr3t-pass@mail.example", "in the clear"),
        ("SMTP_URL", "smtp://10.0.0.9", "in the clear"),
        ("SMTP_URL", "smtps://ops@mail.example", "both a user and a password"),
        ("SMTP_URL", "smtps://:s3cr3t-pass@mail.example", "both a user and a password"),
        ("SMTP_URL", "smtps://ops:s3cr3t-pass%0d%0a@mail.example", "without control characters"),
        ("SMTP_URL", "smtps://ops:s3cr3t-pass%C3%A9@mail.example", "must be ASCII"),
        ("SMTP_URL", "smtps://ops:s3cr3t-pass@mail.example:0", "must be smtp+starttls://user"),
        ("SMTP_URL", "smtps://ops:s3cr3t-pass@mail.example/x?y", "nothing behind it"),
        ("MAIL_FROM", "billing", "must be an address such as billing@example.com"),
        ("MAIL_FROM", "Billing <billing@example.com", "must be an address such as"),
        ("MAIL_FROM", "b@example.com, c@example.com", "must be an address such as"),
        ("MAIL_FROM", "Billing\r\nBcc: x@example.com <b@example.com>", "must be an address"),
        ("MAIL_FROM", "b@example.com\nBcc: x@example.com", "must be an address such as"),
        ("MAIL_FROM", "b" * 260 + "@example.com", "must be an address such as"),
        ("NOTICE_ALLOW_CIDRS", "10.0.0.0/8,internal", "must be networks such as 10.0.0.0/8"),
        ("NOTICE_ALLOW_CIDRS", "10.1.2.3/8", "10.1.2.3/8 has host bits set"),
    ],
)
def test_a_bad_value_is_refused_by_variable_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, error: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as caught:
        settings.load()

    message = str(caught.value)
    assert message.startswith(f"{variable}")
    assert error in message
    assert "\n" not in message
    shown = "".join(traceback.format_exception(caught.value))
    assert "s3cr3t-pass" not in shown
    assert "tests-only" not in shown


def test_all_problems_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("DATABASE_URL", "mysql://db")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    monkeypatch.setenv("BILLING_TIMEZONE", "Kolkata")

    message = refusal()

    for variable in ("REDIS_URL", "DATABASE_URL", "LOG_LEVEL", "BILLING_TIMEZONE"):
        assert variable in message


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_plain_postgres_address_becomes_that_of_the_installed_driver(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    address = "://ops:a%40b@db.example:5433/billing?sslmode=require&host=%2Ftmp"
    monkeypatch.setenv("DATABASE_URL", scheme + address)
    monkeypatch.setenv("DATABASE_OWNER_URL", scheme + address.replace("ops", "owner"))

    found = settings.load()

    assert found.database_url == "postgresql+psycopg2" + address
    assert found.database_owner_url == found.database_url.replace("ops", "owner")


@pytest.mark.parametrize(
    "url", ["redis://broker:6379/1", "rediss://:x@broker/0", "unix:///run/redis.sock?db=1"]
)
def test_redis_is_reached_by_any_of_its_schemes(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)

    assert settings.load().redis_url == url


def test_the_public_address_of_the_api_may_have_the_path_of_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_URL", "https://platform.example/billing/ ")

    assert settings.load().api_url == "https://platform.example/billing"


def test_several_secrets_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    other = SECRET.replace("dGVz", "T1RI")
    monkeypatch.setenv("LEAD_WEBHOOK_SECRETS", f" {SECRET} , {other},, ")

    found = settings.load().lead_webhook_secrets

    assert [secret.get_secret_value() for secret in found] == [SECRET, other]


def test_a_secret_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAD_WEBHOOK_SECRETS", SECRET)
    monkeypatch.setenv("REDIS_URL", "redis://ops:s3cr3t-pass@broker/0")

    found = settings.load()

    for shown in (repr(found), str(found)):
        assert SECRET not in shown
        assert "s3cr3t-pass" not in shown


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (
        "DATABASE_OWNER_URL", "BILLING_TIMEZONE", "RECEIVER_PORT", "LEAD_WEBHOOK_SECRETS",
        "LOG_LEVEL", "BILLING_CATALOG",
    ):  # fmt: skip
        monkeypatch.setenv(variable, "")

    found = settings.load()

    assert found.database_owner_url == found.database_url
    assert (found.billing_timezone, settings.listener("receiver").port) == ("Asia/Kolkata", 8000)
    assert found.lead_webhook_secrets == ()
    assert found.log_level == "INFO"


def test_the_running_stack_fills_what_is_not_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(variable)
    write_stack_file(
        tmp_path, database_url="postgresql://stack/x",
        database_owner_url="postgresql://owner@stack/x", redis_url="redis://stack/0",
        lead_webhook_secrets=SECRET, ports={"receiver": 1}, something_else=True,
    )  # fmt: skip

    found = settings.load()

    assert found.database_url == "postgresql+psycopg2://stack/x"
    assert found.database_owner_url == "postgresql+psycopg2://owner@stack/x"
    assert found.redis_url == "redis://stack/0"
    assert [s.get_secret_value() for s in found.lead_webhook_secrets] == [SECRET]


def test_another_database_is_never_migrated_as_the_stacks_owner(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_stack_file(
        tmp_path, database_url="postgresql://stack/x",
        database_owner_url="postgresql://owner@stack/x",
    )  # fmt: skip

    found = settings.load()

    assert found.database_owner_url == found.database_url
    assert "db.example" in found.database_url


def test_a_stack_of_the_version_before_has_one_role_for_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    write_stack_file(tmp_path, database_url="postgresql://stack/x")

    found = settings.load()

    assert found.database_owner_url == found.database_url == "postgresql+psycopg2://stack/x"


@pytest.mark.parametrize("empty", ["DATABASE_URL", "REDIS_URL"])
def test_each_variable_that_is_set_wins_over_the_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty: str
) -> None:
    # Given one variable that is set, and one that is empty, which counts as not set
    monkeypatch.setenv(empty, "")
    monkeypatch.setenv("LEAD_WEBHOOK_SECRETS", SECRET)
    write_stack_file(
        tmp_path, database_url="postgresql://stack/x", redis_url="redis://stack/0",
        lead_webhook_secrets="nonsense",
    )  # fmt: skip

    found = settings.load()

    from_stack = {"DATABASE_URL": "stack/x" in found.database_url}
    from_stack["REDIS_URL"] = "stack/0" in found.redis_url
    assert from_stack == {name: name == empty for name in from_stack}
    assert [s.get_secret_value() for s in found.lead_webhook_secrets] == [SECRET]


CLOCK = "/stack/clock.json"


@pytest.mark.parametrize("scheme", [None, "postgresql", "postgresql+psycopg2"])
def test_the_stacks_time_goes_with_its_database(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str | None
) -> None:
    # Given a stack whose database is used: no address is set, or the very same one
    if scheme is None:
        monkeypatch.delenv("DATABASE_URL")
    else:
        monkeypatch.setenv("DATABASE_URL", f"{scheme}://app@stack/x")
    write_stack_file(
        tmp_path, database_url="postgresql://app@stack/x", billing_development_clock=CLOCK
    )
    # Then its time is used too
    assert settings.load().billing_development_clock == Path(CLOCK)


def test_another_database_has_the_real_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_stack_file(
        tmp_path, database_url="postgresql://app@stack/x", billing_development_clock=CLOCK
    )
    assert settings.load().billing_development_clock is None
    # Unless the variable is set
    monkeypatch.setenv("BILLING_DEVELOPMENT_CLOCK", "/mine")
    assert settings.load().billing_development_clock == Path("/mine")


@pytest.mark.parametrize(
    "key",
    [
        {"RAZORPAY_KEY_ID": "rzp_live_1", "RAZORPAY_KEY_SECRET": "s3cr3t-pass"},
        {"STRIPE_API_KEY": "sk_live_s3cr3t-pass"},
        {"STRIPE_API_KEY": "SK_Live_s3cr3t-pass"},
        {"STRIPE_API_KEY": "sk_org_s3cr3t-pass"},
        {"RAZORPAY_KEY_ID": "RZP_LIVE_1", "RAZORPAY_KEY_SECRET": "s3cr3t-pass"},
        {"STRIPE_API_KEY": " rk_live_s3cr3t-pass"},
    ],
)
def test_time_is_real_if_money_is(monkeypatch: pytest.MonkeyPatch, key: dict[str, str]) -> None:
    monkeypatch.setenv("BILLING_DEVELOPMENT_CLOCK", CLOCK)
    for variable, value in key.items():
        monkeypatch.setenv(variable, value)

    message = refusal()

    assert (
        "BILLING_DEVELOPMENT_CLOCK: time cannot be moved while a gateway's key is live" in message
    )
    assert "s3cr3t-pass" not in message


GATEWAYS = {
    "razorpay_key_id": "rzp_test_stack",
    "razorpay_key_secret": "stack",
    "razorpay_webhook_secrets": "webhooks-of-the-stack",
    "razorpay_api_base": "http://stack",
    "stripe_api_key": "sk_test_stack",
    "stripe_webhook_secrets": "webhooks-of-the-stack",
    "stripe_api_base": "http://stack/stripe",
}


def write_stack_with_gateways(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.delenv("DATABASE_URL")
    write_stack_file(folder, database_url="postgresql://stack/x", **GATEWAYS)


def test_the_running_stacks_gateways_are_used_if_none_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_stack_with_gateways(monkeypatch, tmp_path)

    found = settings.load()

    assert found.razorpay_key_id == "rzp_test_stack"
    assert found.razorpay_key_secret.get_secret_value() == "stack"
    assert (found.razorpay_api_base, found.stripe_api_base) == (
        "http://stack", "http://stack/stripe",
    )  # fmt: skip
    assert found.stripe_api_key.get_secret_value() == "sk_test_stack"
    assert found.razorpay_webhook_secrets == found.stripe_webhook_secrets
    secrets = [s.get_secret_value() for s in found.stripe_webhook_secrets]
    assert secrets == ["webhooks-of-the-stack"]


def test_a_key_that_is_set_never_goes_to_the_stacks_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_stack_with_gateways(monkeypatch, tmp_path)
    monkeypatch.setenv("RAZORPAY_KEY_ID", "rzp_live_mine")
    monkeypatch.setenv("RAZORPAY_KEY_SECRET", "mine")

    found = settings.load()

    assert found.razorpay_key_id == "rzp_live_mine"
    assert found.razorpay_api_base == "https://api.razorpay.com"
    assert found.razorpay_webhook_secrets == ()
    # And the other gateway is still the stack's
    assert found.stripe_api_base == "http://stack/stripe"


def test_half_a_key_is_not_completed_from_the_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_stack_with_gateways(monkeypatch, tmp_path)
    monkeypatch.setenv("RAZORPAY_KEY_ID", "rzp_live_mine")

    assert "RAZORPAY_KEY_ID and RAZORPAY_KEY_SECRET: set both or neither" in refusal()


def test_webhook_secrets_that_are_set_leave_the_stacks_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_stack_with_gateways(monkeypatch, tmp_path)
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRETS", "a-secret-of-my-own")

    found = settings.load()

    assert [s.get_secret_value() for s in found.stripe_webhook_secrets] == ["a-secret-of-my-own"]
    assert found.stripe_api_base == "http://stack/stripe"


def test_another_database_gets_no_credit_from_the_stacks_simulator(
    tmp_path: Path,
) -> None:
    write_stack_file(tmp_path, database_url="postgresql://stack/x", **GATEWAYS)

    found = settings.load()

    assert "db.example" in found.database_url
    assert (found.razorpay_key_id, found.razorpay_webhook_secrets) == ("", ())
    assert found.stripe_api_key.get_secret_value() == ""


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '"text"', '{"database_url": 5}', "\x00"]
)
def test_a_damaged_stack_file_counts_as_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    settings.stack_file(tmp_path).write_text(content)

    assert refusal().startswith("DATABASE_URL")


def test_the_settings_of_a_process_are_read_once_and_cannot_be_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = settings.get()
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")

    assert settings.get() is first
    with pytest.raises(ValidationError, match="frozen"):
        first.log_level = "DEBUG"  # type: ignore[misc]


def test_api_keys_have_names_and_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", " ops:0123456789abcdef , Clinic-App.2:AZaz09._~+/-AZaz09,")

    found = settings.load()

    shown = {name: secret.get_secret_value() for name, secret in found.api_keys.items()}
    assert shown == {"ops": "0123456789abcdef", "Clinic-App.2": "AZaz09._~+/-AZaz09"}
    assert "0123456789abcdef" not in repr(found)
    assert "0123456789abcdef" not in str(found.model_dump())


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("0123456789abcdef-secret", "entry 1 must be name:key"),
        ("ops:0123456-sec", "entry 1 must be"),
        (":0123456789abcdef-secret", "entry 1 must be"),
        ("ops:0123456789abcdef secret", "entry 1 must be"),
        ("ops:0123456789abcdef:secret", "entry 1 must be"),
        ("ops:0123456789abcd\xe9-secret", "entry 1 must be"),
        (f"ops:{'s' * 501}-secret", "entry 1 must be"),
        ("a b:0123456789abcdef-secret", "entry 1 must be"),
        (f"{'n' * 101}:0123456789abcdef-secret", "entry 1 must be"),
        ("a:0123456789abcdef,b:-sec", "entry 2 must be"),
        ("a:0123456789abcdef,a:fedcba9876543210-secret", "entry 2 repeats"),
        ("a:0123456789abcdef-secret,b:0123456789abcdef-secret", "entry 2 repeats"),
    ],
)
def test_bad_api_keys_are_refused_by_position_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str, error: str
) -> None:
    monkeypatch.setenv("API_KEYS", value)

    message = refusal()

    assert message.startswith(f"API_KEYS: {error}")
    assert "0123456789" not in message
    assert "-sec" not in message
    assert message.count("\n") == 0


def test_a_dead_delivery_keeps_its_body_at_least_as_long_as_a_finished_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RETENTION_BODIES_DAYS", "400")

    assert refusal() == (
        "RETENTION_DEAD_DAYS: must be at least RETENTION_BODIES_DAYS (400), or 0:"
        " a dead delivery is still to be replayed"
    )
    for name, days in (("RETENTION_DEAD_DAYS", "0"), ("RETENTION_BODIES_DAYS", "0")):
        with monkeypatch.context() as patch:
            patch.setenv(name, days)
            settings.load()


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        ("one-secret-of-many,two-secrets-of-many", ["one-secret-of-many", "two-secrets-of-many"]),
        (
            '["one-secret,of-many","two-secrets-of-many"]',
            ["one-secret,of-many", "two-secrets-of-many"],
        ),
        ('[ "one-secret,of-many" ]\n', ["one-secret,of-many"]),
        ("[]", []),
    ],
)
def test_a_secret_with_a_comma_stands_in_a_json_list(
    monkeypatch: pytest.MonkeyPatch, value: str, secrets: list[str]
) -> None:
    monkeypatch.setenv("RAZORPAY_WEBHOOK_SECRETS", value)

    found = settings.load().razorpay_webhook_secrets

    assert [secret.get_secret_value() for secret in found] == secrets


@pytest.mark.parametrize("variable", ["RAZORPAY_WEBHOOK_SECRETS", "STRIPE_WEBHOOK_SECRETS"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("s3cr3t-pass-long,s3cr3t", "secret 2 has 6 characters, and 16 are the least"),
        ("s3cr3t,pass-of-mine", "if a secret holds a comma, write the list as JSON"),
        ('["s3cr3t-pass', "must be JSON"),
        ('["s3cr3t-pass-long",1]', "must be JSON"),
    ],
)
def test_half_of_a_secret_is_not_taken_for_one(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, error: str
) -> None:
    monkeypatch.setenv(variable, value)

    message = refusal()

    assert message.startswith(variable)
    assert error in message
    assert "s3cr3t" not in message


def test_flowers_logins_may_hold_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWER_BASIC_AUTH", '["ops:a,long:password","me:another-one"]')

    found = settings.flower_logins()

    assert [(login.user, login.password) for login in found] == [
        ("ops", "a,long:password"), ("me", "another-one"),
    ]  # fmt: skip
    assert "password" not in repr(found).replace("password=", "")


@pytest.mark.parametrize(
    "value", ["ops:a,b", "ops:s3cr3t-pass,b", "ops:short", "ops", ":s3cr3t-pass", "ops:pässwörter"]
)
def test_a_login_that_flower_would_halve_or_not_compare_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("FLOWER_BASIC_AUTH", value)

    with pytest.raises(SettingsError, match=r"FLOWER_BASIC_AUTH: entry [12] must be") as caught:
        settings.flower_logins()

    assert "s3cr3t" not in str(caught.value)
    # And it stops Flower alone
    settings.load()


@pytest.mark.parametrize("value", [",", " , ", "[]", '[""]'])
def test_a_list_without_a_login_does_not_open_flower_to_everybody(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("FLOWER_BASIC_AUTH", value)

    with pytest.raises(SettingsError, match="FLOWER_BASIC_AUTH: has no entry"):
        settings.flower_logins()


@pytest.mark.parametrize("process", ["receiver", "api", "flower", "simulator"])
def test_the_address_of_a_service_of_kubernetes_counts_as_unset(
    monkeypatch: pytest.MonkeyPatch, process: str
) -> None:
    monkeypatch.setenv(f"{process.upper()}_PORT", "tcp://10.96.0.12:8001")

    assert settings.listener(process).port == listeners.PORTS[process]


@pytest.mark.parametrize("value", ["http", "0", "65536", "80.5", "-1", "\u0663"])
def test_a_port_that_is_none_stops_its_listener_alone(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("API_PORT", value)

    with pytest.raises(SettingsError, match="API_PORT: must be a number from 1 to 65535"):
        settings.listener("api")

    assert settings.listener("receiver").port == 8000
    settings.load()


def test_a_line_end_after_any_value_is_not_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "DATABASE_URL": DATABASE, "DATABASE_OWNER_URL": DATABASE, "REDIS_URL": "redis://broker/1",
        "BILLING_TIMEZONE": "Asia/Tokyo", "LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json",
        "LEAD_WEBHOOK_SECRETS": SECRET, "API_KEYS": "ops:0123456789abcdef",
        "RAZORPAY_KEY_ID": "rzp_test_1", "RAZORPAY_KEY_SECRET": "s3cr3t-pass",
        "RAZORPAY_WEBHOOK_SECRETS": "s3cr3t-pass-long", "STRIPE_API_KEY": "sk_test_1",
        "RAZORPAY_API_BASE": "https://razorpay.example", "BILLING_CATALOG": "/etc/catalog.toml",
        "API_PORT": "9001", "API_HOST": "127.0.0.2", "FLOWER_BASIC_AUTH": "ops:s3cr3t-pass",
    }  # fmt: skip
    read = []
    for end in ("", "\n", " \r\n"):
        for name, value in given.items():
            monkeypatch.setenv(name, value + end)
        loaded = settings.load()
        read.append((loaded, loaded.redis, settings.listener("api"), settings.flower_logins()))
    first = read[0]
    assert [found[1:] for found in read] == [first[1:]] * 3
    for found in read:
        without = found[0].model_dump(exclude={"redis_url"})
        assert without == first[0].model_dump(exclude={"redis_url"})


def test_a_value_of_blanks_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_TIMEZONE", "\n")
    monkeypatch.setenv("API_PORT", " ")
    assert settings.load().billing_timezone == "Asia/Kolkata"
    assert settings.listener("api").port == 8001

    monkeypatch.setenv("DATABASE_URL", " \n")
    assert refusal().startswith("DATABASE_URL is not set")


STACK = "postgresql://app@stack/x"


@pytest.mark.parametrize("database", [DATABASE, f"{STACK}y", STACK.replace("app", "other")])
def test_another_database_gets_no_key_of_the_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    write_stack_file(
        tmp_path, database_url=STACK, lead_webhook_secrets=SECRET,
        api_keys="devstack:0123456789abcdef", **GATEWAYS,
    )  # fmt: skip

    found = settings.load()

    assert (found.lead_webhook_secrets, found.api_keys) == ((), {})
    assert (found.razorpay_key_id, found.stripe_api_key.get_secret_value()) == ("", "")


def test_the_stacks_own_database_gets_its_keys_however_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", STACK.replace("postgresql", "postgres") + "\n")
    write_stack_file(
        tmp_path, database_url=STACK, lead_webhook_secrets=SECRET,
        api_keys="devstack:0123456789abcdef", **GATEWAYS,
    )  # fmt: skip

    found = settings.load()

    assert (len(found.lead_webhook_secrets), list(found.api_keys)) == (1, ["devstack"])
    assert found.razorpay_key_id == "rzp_test_stack"


MAIL = {
    "SMTP_URL": "smtp+starttls://ops:p%40ss%2Fword@mail.example",
    "MAIL_FROM": "Billing <billing@example.com>",
    "WEB_URL": "https://pay.example/billing/",
    "WEB_SECRETS": "a" * 32 + ", " + "b" * 40,
}


def test_mail_and_pages_are_read_as_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in MAIL.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("NOTICE_ALLOW_CIDRS", "10.0.0.0/8, fd00::/8")
    monkeypatch.setenv("WEB_ADMIN", "1")

    found = settings.load()

    assert found.smtp == settings.SmtpAddress("mail.example", 587, "starttls", "ops", "p@ss/word")
    assert found.sender == settings.Sender("billing@example.com", "Billing")
    assert found.web_address == "https://pay.example/billing"
    assert [secret.get_secret_value()[0] for secret in found.web_secrets] == ["a", "b"]
    assert [str(network) for network in found.notice_allow_cidrs] == ["10.0.0.0/8", "fd00::/8"]
    assert found.web_admin
    assert "p%40ss" not in repr(found)
    assert "p@ss" not in repr(found.smtp)


def test_without_them_no_mail_is_sent_and_the_pages_are_where_web_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEB_PORT", "8102")

    found = settings.load()

    assert (found.smtp, found.sender, found.web_secrets) == (None, None, ())
    assert found.web_address == "http://127.0.0.1:8102"
    assert (found.notice_allow_cidrs, found.web_admin) == ((), False)


@pytest.mark.parametrize("missing", ["MAIL_FROM", "WEB_URL", "WEB_SECRETS"])
def test_mail_needs_a_sender_and_what_its_links_are_made_of(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for variable, value in MAIL.items():
        if variable != missing:
            monkeypatch.setenv(variable, value)

    assert refusal().startswith(f"{missing} is not set: ")
    with pytest.raises(SettingsError, match="unset SMTP_URL"):
        _ = settings.get().smtp


@pytest.mark.parametrize(
    ("url", "host", "port", "security"),
    [
        ("smtp://127.0.0.1:1025", "127.0.0.1", 1025, "none"),
        ("smtp://localhost", "localhost", 25, "none"),
        ("smtp://[::1]:25/", "::1", 25, "none"),
        ("smtps://ops:pass@[2001:db8::5]", "2001:db8::5", 465, "tls"),
        ("smtp+starttls://mail.example:2525", "mail.example", 2525, "starttls"),
    ],
)
def test_each_kind_of_mail_server_is_read(url: str, host: str, port: int, security: str) -> None:
    found = mail.read_server(url)

    assert (found.host, found.port, found.security) == (host, port, security)


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("billing@example.com", settings.Sender("billing@example.com")),
        ("<billing@example.com>", settings.Sender("billing@example.com")),
        ("Zähler & Söhne <b@example.com>", settings.Sender("b@example.com", "Zähler & Söhne")),
        ('"Clinic, Inc." <b@example.com>', settings.Sender("b@example.com", "Clinic, Inc.")),
    ],
)
def test_a_sender_may_have_a_name(text: str, sender: settings.Sender) -> None:
    assert mail.read_sender(text) == sender
