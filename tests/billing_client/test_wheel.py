"""The wheel as a platform installs it: into an environment with what it asks for, and no more."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from redis import Redis

import settings
from billing_client import __version__
from devstack import ports
from tests import environments
from tests.billing.given import balance, open_account
from tests.conftest import LEAD_SECRET
from tests.tasks.given import work
from tests.webhook_receiver.receiver_process import one_process

SOURCES = settings.PROJECT_DIR / "billing_client"

CHARGE = """
import importlib.util, json, sys
import billing_client
with billing_client.BillingClient(receiver_url=sys.argv[1], webhook_secret=sys.argv[2]) as client:
    accepted = client.charge_lead("L-1", "clinic:42", 600_000)
unwanted = [
    "billing", "cli", "db", "tasks", "worker", "gateways", "settings", "clock", "celeryconfig",
    "webhook_receiver", "celery", "kombu", "redis", "flask", "httpx", "asgiref", "sqlalchemy",
    "pydantic", "structlog",
]
print(json.dumps({
    "lead_id": accepted.lead_id,
    "from": billing_client.__file__,
    "version": billing_client.__version__,
    "found": [name for name in unwanted if importlib.util.find_spec(name)],
    "loaded": [name for name in unwanted if name in sys.modules],
}))
"""


@dataclass(frozen=True)
class Built:
    """What `make client` has left and printed."""

    wheel: Path
    said: str


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """`make client` in a copy of the sources, with the environment of the tests."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(
        SOURCES, folder / "billing_client", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(settings.PROJECT_DIR / "Makefile", folder)
    (folder / "dist").mkdir()
    (folder / "dist" / "credit_billing_client-0.0.1-py3-none-any.whl").touch()
    before = set((folder / "billing_client").rglob("*"))
    done = subprocess.run(
        [
            "make", "--no-print-directory", "client", f"VENV={sys.prefix}",
            f"--old-file={sys.prefix}/.installed",
        ],
        cwd=folder, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert set((folder / "billing_client").rglob("*")) == before, "the build leaves files there"
    [wheel] = (folder / "dist").iterdir()  # and none of an earlier version
    return Built(wheel, done.stdout)


@pytest.fixture(scope="module")
def wheel(built: Built) -> Path:
    """The wheel that platforms install."""
    return built.wheel


def environment(wheel: Path, *, extra: str, place: Path) -> Path:
    """Make an environment as pip would with the wheel and this extra; return its python."""
    python, packages = environments.make(place)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    [described] = packages.glob("*.dist-info/METADATA")
    requires = metadata.PathDistribution(described.parent).requires or []
    environments.add(packages, requires, extra=extra)
    return python


def run(python: Path, code: str, *arguments: str, cwd: Path) -> str:
    """Run code there, with warnings as errors; return what it printed."""
    done = subprocess.run(
        [str(python), "-I", "-W", "error", "-c", code, *arguments],
        capture_output=True, text=True, timeout=60, check=False, cwd=cwd,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_client_says_where_it_is_and_how_to_install_it(built: Built) -> None:
    path = f"dist/{built.wheel.name}"
    assert built.said.splitlines() == [
        path,
        f"Install it:   pip install {path}",
        f"With extras:  pip install '{path}[flask,celery,async]'",
    ]
    assert built.wheel.name == f"credit_billing_client-{__version__}-py3-none-any.whl"


def test_the_target_is_listed_and_what_it_made_is_cleaned_up_and_not_committed(
    tmp_path: Path,
) -> None:
    shutil.copy(settings.PROJECT_DIR / "Makefile", tmp_path)
    (tmp_path / "dist").mkdir()
    listed, _ = (
        subprocess.run(
            ["make", "--no-print-directory", target],
            cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for target in ("help", "clean")
    )  # fmt: skip
    assert "make client" in listed
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]
    assert "/dist/" in (settings.PROJECT_DIR / ".gitignore").read_text().splitlines()


def test_it_holds_the_client_and_nothing_of_the_server(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [name for name in names if name.endswith("dist-info/METADATA")]
        described = archive.read(metadata).decode()
    assert f"\nVersion: {__version__}\n" in described
    modules = {f"billing_client/{path.relative_to(SOURCES)}" for path in SOURCES.rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == {
        *modules,
        "billing_client/py.typed",
    }
    required = [line for line in described.splitlines() if line.startswith("Requires-Dist")]
    assert [line for line in required if "extra ==" not in line] == [
        "Requires-Dist: urllib3<3,>=2.6"
    ]
    assert "charge_lead" in described  # its README


@pytest.mark.usefixtures("database")
def test_it_charges_a_lead_from_an_empty_environment(
    wheel: Path, tmp_path: Path, database: str
) -> None:
    # Given an environment with the wheel and urllib3 in it, and no more
    python = environment(wheel, extra="", place=tmp_path / "platform")
    # When a lead is charged from there
    open_account(credits_=1_000)
    with one_process(tmp_path / "receiver.log", DATABASE_URL=database) as receiver:
        shown = json.loads(
            run(python, CHARGE, f"http://{ports.HOST}:{receiver.port}", LEAD_SECRET, cwd=tmp_path)
        )
    # Then it is, and nothing of the server was there to be imported
    assert Path(shown["from"]).is_relative_to(tmp_path)
    assert (shown["lead_id"], shown["found"], shown["loaded"]) == ("L-1", [], [])
    assert shown["version"] == __version__
    work()
    assert balance() == 1_000 - 180


STAR = """
import billing_client
from billing_client import *
assert BillingClient and require_credits and InvalidRequest
for name in ("AsyncBillingClient", "CeleryBillingClient"):
    try:
        getattr(billing_client, name)
    except ImportError as error:
        print(error)
"""


def test_without_its_extra_all_else_can_be_imported_and_what_is_missing_is_named(
    wheel: Path, tmp_path: Path
) -> None:
    python = environment(wheel, extra="", place=tmp_path / "platform")
    assert run(python, STAR, cwd=tmp_path) == (
        "AsyncBillingClient needs the module 'httpx': install credit-billing-client[async]\n"
        "CeleryBillingClient needs the module 'celery': install credit-billing-client[celery]\n"
    )


CELERY = """
import sys
from billing_client import CeleryBillingClient
with CeleryBillingClient(redis_url=sys.argv[1]) as client:
    print(client.charge_lead("L-1", "clinic:42", 600_000).lead_id)
"""
ASYNC = """
import asyncio
from billing_client import AsyncBillingClient, Unreachable
async def main():
    async with AsyncBillingClient(base_url="http://127.0.0.1:9", api_key="k", retries=0) as client:
        try:
            await client.lead_status("L-1")
        except Unreachable as error:
            print(error)
asyncio.run(main())
"""
FLASK = """
from flask import Flask
from billing_client import BillingClient, require_credits
app = Flask("platform")
client = BillingClient(api_url="http://127.0.0.1:9", api_key="k" * 20, retries=0)
@app.get("/")
@require_credits(5, client=client, account="clinic:42")
async def view():
    return "worked"
@app.get("/free")
async def free():
    return "worked"
print(app.test_client().get("/").status_code, app.test_client().get("/free").status_code)
"""


def test_the_extra_celery_brings_all_that_a_first_call_needs(
    wheel: Path, tmp_path: Path, redis: Redis
) -> None:
    python = environment(wheel, extra="celery", place=tmp_path / "platform")
    assert run(python, CELERY, os.environ["REDIS_URL"], cwd=tmp_path) == "L-1\n"
    assert redis.llen("leads") == 1  # the message itself, not just the copy


def test_the_extra_async_brings_all_that_a_first_call_needs(wheel: Path, tmp_path: Path) -> None:
    python = environment(wheel, extra="async", place=tmp_path / "platform")
    assert run(python, ASYNC, cwd=tmp_path) == "127.0.0.1:9 cannot be reached: ConnectError\n"


def test_the_extra_flask_brings_all_that_a_first_call_needs(wheel: Path, tmp_path: Path) -> None:
    python = environment(wheel, extra="flask", place=tmp_path / "platform")
    # Nothing listens there: the decorator says so, and does not run the view unpaid.
    assert run(python, FLASK, cwd=tmp_path) == "503 200\n"
