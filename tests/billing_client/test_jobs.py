"""Every job of a platform, with every kind of client, against the real back office.

Each is tried four times: it is done; it is refused, as a typed error; its answer is lost, and it is
done once all the same; another tenant asks for it. One API, one receiver and the simulated gateways
serve them all.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import settings
from billing import audit
from billing_client import BillingError, http, use_request_id
from db import connections
from db.roles import Role
from tests.billing.given import assert_ledger_is_clean
from tests.billing_client.bank import API_KEY
from tests.billing_client.drivers import KINDS, Kind, methods
from tests.billing_client.jobs import JOBS, Job, NothingFound, Refusal, ids
from tests.billing_client.world import OTHER_SECRET, RS_6000, Things, World, running_world
from tests.conftest import addresses_of, new_database
from tests.stack_process import eventually

every_job = pytest.mark.parametrize("job", JOBS, ids=ids(JOBS))


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with new_database() as url, pytest.MonkeyPatch.context() as patch:
        for variable, address in addresses_of(url).items():
            patch.setenv(variable, address)
        patch.setattr(http, "BACKOFF_SECONDS", 0.01)
        settings.get.cache_clear()
        connections.engine.cache_clear()
        connections.work_as(Role.WORKERS)  # a test before may have made an app in this process
        with (
            audit.asked_by("test", door="cli"),
            running_world(url, tmp_path_factory.mktemp("world")) as world,
        ):
            yield world
            assert_ledger_is_clean()
        connections.engine().dispose()
    settings.get.cache_clear()
    connections.engine.cache_clear()


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """The back office; after the test: nothing broke in it, and it kept its secrets."""
    shared_world.proxy.reset()
    logged = len(shared_world.api.log)
    yield shared_world
    log = shared_world.api.log[logged:]
    for unwanted in ("Traceback", API_KEY, shared_world.stranger_key):
        assert unwanted not in log


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


def test_the_table_has_every_method() -> None:
    assert {job.method for job in JOBS} == methods()


@every_job
def test_it_is_done(job: Job, kind: Kind, world: World) -> None:
    things = job.given(world)
    with world.platform(kind) as platform:
        result = job.ask(platform, things)
    assert job.holds(world, things, result)


@every_job
def test_a_refusal_is_a_typed_error(job: Job, kind: Kind, world: World) -> None:
    wrong = OTHER_SECRET if job.method.startswith("charge_lead") else None
    _assert_refused(job, job.refused, kind, world, secret=wrong)


@every_job
def test_if_its_answer_is_lost_it_is_done_once(job: Job, kind: Kind, world: World) -> None:
    things = job.given(world)
    world.proxy.reset()
    world.proxy.lose("any")
    world.proxy.lose("place")  # also of a change that follows a question
    with world.platform(kind) as platform:
        result = job.ask(platform, things)
    assert job.holds(world, things, result)
    lost, again = world.proxy.asked[:2]
    assert (lost.method, lost.path, lost.body) == (again.method, again.path, again.body)
    changes = [one for one in world.proxy.asked if one.method == "POST"]
    assert len(changes) != 1
    for name in ("idempotency-key", "webhook-id"):
        assert len({one.headers.get(name) for one in changes}) <= 1


@every_job
def test_another_tenant_finds_nothing(job: Job, kind: Kind, world: World) -> None:
    refusal = job.refused_to_strangers
    if job.method.startswith("charge_lead"):
        _assert_refused(job, refusal, kind, world, secret=OTHER_SECRET)
        return
    # The things of the job exist, and the key does not reach them.
    given = refusal.given or job.given
    _assert_refused(job, refusal, kind, world, key=world.stranger_key, given=given(world))


def test_a_lead_is_waited_for_until_a_worker_has_charged_it(kind: Kind, world: World) -> None:
    things = world.things()
    world.house.submit_lead(things.lead_id, things.account, RS_6000)
    with ThreadPoolExecutor(1) as other, world.platform(kind) as platform:
        waiting = other.submit(platform.wait_for_lead, things.lead_id, timeout_seconds=60)
        eventually("it has asked twice", lambda: len(world.proxy.asked) >= 2)
        assert not waiting.done()
        world.drain()
        lead = waiting.result()
    assert (lead.state, lead.credits) == ("charged", 180)


def test_a_refused_lead_is_not_waited_for_and_a_conflict_is_counted(
    kind: Kind, world: World
) -> None:
    things = world.charged(world.things())
    with world.platform(kind) as platform:
        # Given a lead of an account that nobody has, and one that comes again with another price
        platform.charge_lead(f"{things.lead_id}-lost", "clinic:nobody", RS_6000)
        again = platform.submit_lead(things.lead_id, things.account, 2 * RS_6000)
        assert again.state == "charged"
        world.drain()
        # Then the first is refused with its reason, and the second charged nothing more
        refused = platform.wait_for_lead(f"{things.lead_id}-lost")
        assert (refused.state, bool(refused.reason)) == ("refused", True)
        known = platform.lead_status(things.lead_id)
        assert (known.state, known.conflicts, known.package_price_paise) == ("charged", 1, RS_6000)
    assert world.ledger(things) == [("lead_charge", -180)]


def test_many_who_ensure_one_account_at_once_get_the_same(kind: Kind, world: World) -> None:
    things = world.things()
    account = f"{things.account}-shared"

    def ensure(_: int) -> object:
        with world.platform(kind) as platform:
            return platform.ensure_account(account, "City Clinic", "clinic_leads")

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(ensure, range(6)))
    assert found == [world.house.account(account)] * 6


@pytest.mark.parametrize(
    "job",
    found := [job for job in JOBS if job.refused_to_strangers.kind.startswith("unknown-")],
    ids=ids(found),
)
def test_the_key_of_another_account_finds_nothing(job: Job, world: World) -> None:
    refusal = job.refused_to_strangers
    given = (refusal.given or job.given)(world)
    _assert_refused(job, refusal, "sync", world, key=world.neighbour_key, given=given)


def _assert_refused(
    job: Job,
    refusal: Refusal,
    kind: Kind,
    world: World,
    *,
    key: str = API_KEY,
    secret: str | None = None,
    given: Things | None = None,
) -> None:
    things = given or (refusal.given(world) if refusal.given else Things())
    options = {} if secret is None else {"secret": secret}
    with world.platform(kind, key=key, **options) as platform, use_request_id("of-the-test-1"):
        error = _error_of(lambda: (refusal.ask or job.ask)(platform, things))
    assert type(error) is refusal.error
    assert error.kind == refusal.kind
    if refusal.kind:
        assert error.request_id == "of-the-test-1"


def _error_of(ask: Any) -> BillingError:
    try:
        result = ask()
    except BillingError as error:
        return error
    if isinstance(result, list) and result and isinstance(result[0], BillingError):
        return result[0]  # `charge_leads` returns errors
    assert "clinic_leads" not in repr(result)  # a list or a catalog of the stranger's own
    return NothingFound()
