"""The retry ladder against deliveries that were measured at the real gateway, in milliseconds."""

from itertools import accumulate, pairwise

import pytest

from devstack.simulator.ladder import Outcome, razorpay_gaps

SERVER_ERROR = [
    0, 232, 6777, 19311, 40245, 82979, 165059, 326732, 650927, 1294541, 2577196, 5140579,
    10267928, 20508739, 40989256, 81953533,
]  # fmt: skip
REFUSED = [
    0, 6746, 19252, 40224, 82958, 165028, 326529, 650907, 1294108, 2577187, 5140530, 10267907,
    20508718, 40989228, 81953247,
]  # fmt: skip
OF_A_REFUND = [
    0, 6762, 20063, 41349, 83390, 165062, 329795, 651854, 1294511, 2578845, 5140279, 10264376,
    20506743, 40988651, 81949316,
]  # fmt: skip
TOO_SLOW = [
    0, 14373, 31232, 59479, 106006, 194690, 363352, 691279, 1338432, 2624009, 5190558, 10321045,
    20568333, 41056653, 82025330,
]  # fmt: skip
"""Of an answer after 8 seconds, which was waited for 5."""


@pytest.mark.parametrize(
    ("event", "first", "measured", "waited"),
    [
        ("payment.authorized", "server error", SERVER_ERROR, 0),
        ("order.paid", "dropped", SERVER_ERROR, 0),
        ("payment.authorized", "refused", REFUSED, 0),
        ("refund.created", "server error", OF_A_REFUND, 0),
        ("payment.authorized", "timed out", TOO_SLOW, 5),
    ],
)
def test_the_ladder_is_the_measured_one(
    event: str, first: Outcome, measured: list[int], waited: float
) -> None:
    gaps = razorpay_gaps(event, first)

    assert len(gaps) == len(measured) - 1
    steps = [(later - earlier) / 1000 for earlier, later in pairwise(measured)]
    for ours, real in zip(gaps, steps, strict=True):
        assert abs(ours + waited - real) < 4
    if measured is SERVER_ERROR:
        assert gaps[0] == pytest.approx(steps[0], abs=0.01)
    assert sum(gaps) == pytest.approx(81_953, abs=1)
    assert list(accumulate(gaps)) == sorted(accumulate(gaps))
