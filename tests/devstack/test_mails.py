"""Where the mails of a stack go, and what pages and notices are given if nobody sets it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import settings
from devstack import mails, payment_gateways, plan
from settings import SettingsError

MakePlan = Callable[..., plan.Plan]
MINE = {
    "SMTP_URL": "smtps://me:secret-enough@mail.example",
    "MAIL_FROM": "me@mail.example",
}


@pytest.fixture
def make_plan(tmp_path: Path) -> Iterator[MakePlan]:
    """Plan a stack in a folder of its own; the environment is put back, for a plan completes it."""
    before = dict(os.environ)
    for variable in (*payment_gateways.VARIABLES, *mails.VARIABLES):
        os.environ.pop(variable, None)
    os.environ["BILLING_DATA_DIR"] = str(tmp_path)
    procfile = tmp_path / "Procfile"
    procfile.write_text("receiver: run\nweb: run\nworker: run\nnotices: run\n")

    def make(**environment: str) -> plan.Plan:
        os.environ.update(environment)
        return plan.make(procfile_path=procfile)

    yield make
    os.environ.clear()
    os.environ.update(before)
    settings.get.cache_clear()


def complete(the_plan: plan.Plan) -> settings.Settings:
    return plan.apply(the_plan, database_urls={}, redis_url=None)


def test_mails_go_to_the_sink_and_a_secret_is_made_once(make_plan: MakePlan) -> None:
    planned = make_plan(SINK_SMTP_PORT="1225", WEB_PORT="8202")

    found = complete(planned)

    assert mails.SINK in planned.commands
    assert found.smtp == settings.SmtpAddress("127.0.0.1", 1225, "none")
    assert found.sender == settings.Sender("billing@billing.example", "Demo billing")
    assert found.web_address == "http://127.0.0.1:8202"
    assert [str(network) for network in found.notice_allow_cidrs] == ["127.0.0.0/8", "::1/128"]
    [secret] = found.web_secrets
    kept = planned.data_dir / "web_secret"
    assert kept.read_text().strip() == secret.get_secret_value()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_with_a_mail_server_of_ones_own_there_is_no_sink(make_plan: MakePlan) -> None:
    planned = make_plan(**MINE)

    found = complete(planned)

    assert mails.SINK not in planned.commands
    assert "sink_smtp" not in planned.ports
    assert not planned.mails_to_sink
    assert found.smtp == settings.SmtpAddress("mail.example", 465, "tls", "me", "secret-enough")
    assert found.sender == settings.Sender("me@mail.example")


def test_a_mail_server_without_a_sender_is_refused_before_anything_starts(
    make_plan: MakePlan,
) -> None:
    with pytest.raises(SettingsError, match="MAIL_FROM is not set: "):
        make_plan(SMTP_URL=MINE["SMTP_URL"])


def test_with_a_live_key_no_notice_goes_to_this_machine(make_plan: MakePlan) -> None:
    planned = make_plan(STRIPE_API_KEY="sk_live_1234567890")

    found = complete(planned)

    assert found.notice_allow_cidrs == ()
    assert not planned.shows_notices
