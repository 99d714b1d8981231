"""The stack with stand-ins for the product's processes: quick to start, easy to make misbehave."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack_process import StackProcess, throw_away_folder

STUB = Path(__file__).with_name("stub_process.py")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with throw_away_folder() as folder:
        yield folder


@pytest.fixture
def make_stack(data_dir: Path) -> Callable[..., StackProcess]:
    """Return a maker of stacks of stubs; `worker="slow 2"` says how one behaves."""

    def make(environment: dict[str, str] | None = None, **behaviours: str) -> StackProcess:
        ports = {name: f"${name.upper()}_PORT" for name in ("receiver", "api", "flower")}
        procfile = data_dir / "Procfile"
        procfile.write_text(
            "".join(
                f"{name}: python {STUB} {name} {ports.get(name, 0)} {behaviours.get(name, '')}\n"
                for name in ("receiver", "api", "worker", "beat", "flower")
            )
        )
        arguments = ("--no-demo", "--procfile", str(procfile))
        return StackProcess(data_dir, *arguments, environment=environment)

    return make
