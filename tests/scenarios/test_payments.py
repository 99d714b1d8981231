"""Scenarios of both gateways, by seed: every captured rupee is credited once, and nothing else."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from devstack.simulator.server import Running
from tests.scenarios.payment_scenario import Scenario

Control = Callable[[str, Mapping[str, object]], dict[str, Any]]


@pytest.mark.timeout(0)
def test_every_captured_rupee_is_credited_once(
    simulator: Running,
    control: Control,
    pytestconfig: pytest.Config,
    record_property: Callable[..., None],
) -> None:
    only = pytestconfig.getoption("--payment-seed")
    number = pytestconfig.getoption("--payment-seeds")
    seeds = [only] if only is not None else range(1, number + 1)
    totals: dict[str, int] = {}
    for seed in seeds:
        try:
            counts = Scenario(seed, simulator, control).run()
        except BaseException:
            print(f"seed {seed}: repeat it with --payment-seed {seed}")  # noqa: T201
            raise
        for what, times in counts.items():
            totals[what] = totals.get(what, 0) + times
    for what in sorted(totals):
        print(f"{totals[what]:7,}  {what}")  # noqa: T201
        record_property(what, totals[what])
