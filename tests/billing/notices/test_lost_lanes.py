"""Lanes that were lost with their process, while others go on: fan-out, and tests of endpoints."""

import threading

import pytest

import clock
from billing import notices
from db.session import transaction
from tests.billing.given import open_account
from tests.billing.notices.given import (
    OK,
    at,
    call,
    endpoint,
    fan_out,
    later,
    lease,
    send,
    states,
    write,
)

pytestmark = pytest.mark.usefixtures("books")


def test_a_notice_is_put_in_line_while_the_one_before_it_dies_with_its_process() -> None:
    with at():
        # Given a notice of an ordered endpoint whose tenth process was lost with it
        open_account()
        made = endpoint(ordered=True)
        write("clinic:42")
        fan_out()
        for _ in range(10):
            lease()
            later(minutes=2)
        # When the next one is put in line behind it at the moment in which it is given up
        write("clinic:42")
        with transaction() as session:
            assert notices.fan_out(session, now=clock.now()).placed == 1
            leasing = threading.Thread(target=lease)
            leasing.start()
            leasing.join(0.3)
        leasing.join()
        # Then that one has its turn
        assert states(made) == [("dead", 10), ("pending", 0)]
        later(minutes=2)
        assert send(OK) == 1


def test_an_endpoint_whose_lanes_were_lost_can_be_tested_before_anybody_leases_again() -> None:
    with at():
        open_account()
        made = endpoint()
        write(*["clinic:42"] * 20)
        fan_out()
        assert len(lease()) == 2
        later(minutes=2)
        with transaction() as session:
            lane = notices.lease_test(session, made, now=clock.now())
        call(lane, OK)
        send(OK)
        assert {state for state, _ in states(made)} == {"done"}
