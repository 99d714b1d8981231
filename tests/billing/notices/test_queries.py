"""What an operator reads of notices, and the plans of the queries that run all the time."""

import pytest

from billing import notices
from billing.notices import NoticeFilter
from db.pages import Wanted
from db.session import transaction
from tests.billing.given import open_account
from tests.billing.notices.given import BROKEN, OK, at, call, endpoint, fan_out, later, lease, write

pytestmark = pytest.mark.usefixtures("books")


def listed(limit: int = 20, **which: object) -> list[int]:
    with transaction() as session:
        found = notices.list_notices(session, Wanted(limit), which=NoticeFilter(**which))  # type: ignore[arg-type]
        return [notice.notice_id for notice in found]


def test_notices_are_listed_newest_first_with_their_deliveries_and_by_filter() -> None:
    with at():
        for ref in ("clinic:1", "clinic:42"):
            open_account(ref)
        made = endpoint()
        other = endpoint(account="clinic:1")
        first, second = write("clinic:42", "clinic:1")
        (lead,) = write("clinic:1", topic="lead.charged")
        fan_out()
        for lane in lease():
            call(lane, *([OK] * 2 if lane.endpoint_id == made else [BROKEN]))
        (waiting,) = write("clinic:1")  # not placed yet

        assert listed() == [waiting, second, first]
        assert listed(topics=("lead.*", "lead.charged")) == [waiting, lead, second, first]
        assert listed(account="clinic:1") == [waiting, second]
        assert listed(account="clinic:1", topics=("lead.charged",)) == [lead]
        assert listed(state="done") == [second, first]
        assert listed(state="pending") == [second]
        assert listed(state="done", endpoint_id=other) == []
        assert listed(state="dead") == []
        with transaction() as session:
            page = notices.list_notices(session, Wanted(1), which=NoticeFilter(state="done"))
        (notice,) = page
        assert (notice.account, notice.sequence, notice.position) == ("clinic:1", 1, 2)
        assert [(d.endpoint_id, d.state, d.attempts) for d in notice.deliveries] == [
            (made, "done", 1), (other, "pending", 1),
        ]  # fmt: skip
        assert page.after == str(second)


def test_a_notice_is_shown_with_its_bytes_and_every_call() -> None:
    with at():
        open_account()
        endpoint()
        (notice_id,) = write("clinic:42", request="x")
        fan_out()
        for answer in (BROKEN, OK):
            (lane,) = lease()
            call(lane, answer)
            later(minutes=1)
        with transaction() as session:
            shown = notices.get_notice(session, notice_id)
        (delivery,) = shown.notice.deliveries
        assert shown.body == lane.deliveries[0].body
        assert [(a.number, a.status, a.error) for a in shown.attempts[delivery.delivery_id]] == [
            (1, 500, "answered 500"), (2, 200, None),
        ]  # fmt: skip
        assert shown.attempts[delivery.delivery_id][1].response_head == b"ok"
        with pytest.raises(notices.UnknownNotice), transaction() as session:
            notices.get_notice(session, 999)
