"""The line of an ordered endpoint, while notices come in and go out at the same time."""

import random
import time

import pytest

from tests.billing.given import at_once, open_account, rows
from tests.billing.notices.given import BROKEN, OK, call, endpoint, fan_out, ids, lease, write

pytestmark = pytest.mark.usefixtures("books")
NOTICES = 30
SECONDS = 60
"""Then the test has failed; on a quiet machine it takes two."""


def test_none_is_overtaken_and_none_is_left_behind_at_the_end_of_its_line() -> None:
    # Given an ordered endpoint, and an account that is written about all the time
    open_account()
    made = endpoint(ordered=True)
    sent: list[int] = []
    dice = random.Random(7)
    until = time.monotonic() + SECONDS

    def write_and_place() -> None:
        for _ in range(NOTICES):
            write("clinic:42")
            fan_out()

    def take_and_call() -> None:
        # When two processes take what is due, and stop in the middle now and then
        while len(sent) < NOTICES and time.monotonic() < until:
            if not (lanes := lease()):
                time.sleep(0.02)  # the writer needs a connection and a processor too
            for lane in lanes:
                taken = lane.deliveries[: dice.randint(1, 3)]
                sent.extend(due.notice_id for due in taken)
                call(lane, *[OK] * len(taken))

    at_once(write_and_place, take_and_call, take_and_call)

    # Then each was called once, in the order in which they were written
    assert sent == sorted(sent)
    assert len(sent) == NOTICES
    assert rows(
        "SELECT state, count(*) FROM notice_deliveries WHERE endpoint_id = :id GROUP BY 1", id=made
    ) == [("done", NOTICES)]


def test_an_account_that_is_held_up_holds_up_no_other() -> None:
    for ref in ("clinic:1", "clinic:2"):
        open_account(ref)
    endpoint(ordered=True)
    held_up, _, other = write("clinic:1", "clinic:1", "clinic:2")
    fan_out()
    (lane,) = lease()
    assert ids([lane])[0] == held_up
    call(lane, BROKEN)
    while not (lanes := lease()):
        time.sleep(0.1)  # the endpoint rests for a second
    assert ids(lanes) == [other]
