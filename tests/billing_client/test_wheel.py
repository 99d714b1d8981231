"""The wheel as a platform installs it: into an environment with urllib3 and nothing else."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import urllib3

import settings
from devstack import ports
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
    "webhook_receiver", "celery", "kombu", "redis", "flask", "sqlalchemy", "pydantic", "structlog",
]
print(json.dumps({
    "lead_id": accepted.lead_id,
    "from": billing_client.__file__,
    "found": [name for name in unwanted if importlib.util.find_spec(name)],
    "loaded": [name for name in unwanted if name in sys.modules],
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "billing_client"
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg*"))
    subprocess.run(
        [
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps",
            "--no-index", "--disable-pip-version-check", "--wheel-dir", str(folder), str(copy),
        ],
        check=True, timeout=120,
    )  # fmt: skip
    [built] = folder.glob("*.whl")
    return built


def test_it_holds_the_client_and_nothing_of_the_server(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [name for name in names if name.endswith("dist-info/METADATA")]
        described = archive.read(metadata).decode()
    modules = {f"billing_client/{path.name}" for path in SOURCES.glob("*.py")}
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
    place = tmp_path / "platform"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    [packages] = place.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    shutil.copytree(Path(urllib3.__file__).parent, packages / "urllib3")
    # When a lead is charged from there
    open_account(credits_=1_000)
    with one_process(tmp_path / "receiver.log", DATABASE_URL=database) as receiver:
        done = subprocess.run(
            [
                str(place / "bin" / "python"), "-I", "-W", "error", "-c", CHARGE,
                f"http://{ports.HOST}:{receiver.port}", LEAD_SECRET,
            ],
            capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        )  # fmt: skip
    # Then it is, and nothing of the server was there to be imported
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert Path(shown["from"]).is_relative_to(place)
    assert (shown["lead_id"], shown["found"], shown["loaded"]) == ("L-1", [], [])
    work()
    assert balance() == 1_000 - 180
