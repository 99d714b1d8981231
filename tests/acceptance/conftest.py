"""One real stack for all acceptance tests that leave it running."""

from collections.abc import Iterator

import pytest

from tests.acceptance.harness import Stack
from tests.stack_process import throw_away_folder


@pytest.fixture(scope="session")
def shared_stack() -> Iterator[Stack]:
    with throw_away_folder() as folder, Stack(folder, "--no-demo") as stack:
        yield stack


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """The running stack, with everything that an earlier test stopped running again."""
    for name in ("postgres", "redis", "receiver", "api", "worker", "beat"):
        if shared_stack.pid_of(name) is None:
            shared_stack.start(name)
    shared_stack.wait_until_redis_answers()
    shared_stack.wait_until_database_answers()
    return shared_stack


@pytest.fixture
def own_stack() -> Iterator[Stack]:
    """A stack that the test may stop or kill."""
    with throw_away_folder() as folder:
        yield Stack(folder, "--no-demo")
