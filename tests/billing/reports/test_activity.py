"""What a watch returns: each row once and in order, and the totals in any case."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

import clock
from billing.errors import UnknownAccount
from billing.ledger import Kind, expiry
from billing.reports import activity as happenings
from billing.reports.activity import Activity, Watch
from db import outbox
from db.outbox import NewNotice
from db.session import transaction
from tests.billing.given import give, open_account, post_all

pytestmark = pytest.mark.usefixtures("database")

HOUR = timedelta(hours=1)


def begin(account: str | None = None) -> Watch:
    with transaction() as session:
        return happenings.start_watch(session, account=account)


def news(watch: Watch, *, limit: int = 50) -> list[Activity]:
    with transaction() as session:
        return happenings.read_new(session, watch, limit=limit)


def totals(watch: Watch) -> happenings.Totals:
    with transaction() as session:
        return happenings.totals(session, watch)


def write_event(*subjects: str, topic: str = "lead.charged") -> None:
    with transaction() as session:
        notices = [NewNotice(topic, subject, None, {"n": 1}) for subject in subjects]
        outbox.write(session, notices, now=clock.now())


def grant(amount: int, *, key: str, account: str = "clinic:42") -> None:
    now = clock.now()
    posting = give(amount, key=key, account=account, kind=Kind.GRANT, expires_at=now + HOUR)
    post_all(posting)


def subjects(found: Sequence[Activity]) -> list[str]:
    return [happening.subject for happening in found]


def test_what_was_there_before_is_not_told() -> None:
    write_event("lead:1")
    open_account()
    grant(5, key="g")
    watch = begin()
    assert news(watch) == []
    assert totals(watch) == happenings.Totals({}, 0, 0)


def test_each_row_is_told_once_in_its_order() -> None:
    # Given a watch on an account's grant, a notice, and the grant's expiry
    open_account()
    watch = begin()
    start = clock.now()
    with clock.frozen(start):
        grant(50, key="g")
    with clock.frozen(start + HOUR / 2):
        write_event("lead:1")
    with clock.frozen(start + HOUR), transaction() as session:
        expiry.expire_due(session)
    # When it looks twice, then it returns all three, once
    whats = [happening.what for happening in news(watch)]
    assert [what for what in whats if not what.startswith("balance.")] == [
        "ledger.grant", "lead.charged", "ledger.expiry",
    ]  # fmt: skip
    assert news(watch) == []
    # And what happens later, next time
    write_event("lead:2")
    assert subjects(news(watch)) == ["lead:2"]


def test_a_row_that_was_committed_behind_a_later_one_is_told() -> None:
    watch = begin()
    # Given a transaction that has its id, and another that commits before it
    with transaction() as slow:
        outbox.write(slow, [NewNotice("a", "slow", None, {})], now=clock.now())
        write_event("fast")
        assert subjects(news(watch)) == ["fast"]
    # When it commits, then it is returned as well
    assert subjects(news(watch)) == ["slow"]


def test_a_flood_can_be_skipped_and_is_counted() -> None:
    watch = begin()
    write_event(*[f"lead:{n}" for n in range(100)])
    assert len(news(watch, limit=10)) == 10
    with transaction() as session:
        happenings.skip_to_end(session, watch)
    write_event("lead:next")
    assert subjects(news(watch, limit=10)) == ["lead:next"]
    assert totals(watch).topics == {"lead.charged": 101}


def test_one_account_alone_can_be_watched() -> None:
    for ref in ("clinic:42", "clinic:43"):
        open_account(ref)
    watch = begin("clinic:42")
    for ref in ("clinic:42", "clinic:43"):
        grant(50, key=ref, account=ref)
    write_event("lead:1")
    assert {happening.subject for happening in news(watch)} == {"account:clinic:42"}
    assert totals(watch).credits_granted == 50
    with pytest.raises(UnknownAccount):
        begin("clinic:none")
