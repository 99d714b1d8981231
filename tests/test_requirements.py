"""What the product imports is what its requirements bring, without the development tools."""

import json
import subprocess
import tomllib
from pathlib import Path

import settings
from tests import environments

PRODUCT = [
    "api", "billing", "cli", "clock", "db", "gateways", "service", "tasks", "webhook_receiver",
    "worker", "celeryconfig", "errors", "settings",
]  # fmt: skip
IMPORT_ALL = """
import importlib, json, os, pkgutil, sys
root, names = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, root)
os.environ.update(DATABASE_URL="postgresql://127.0.0.1/none", REDIS_URL="redis://127.0.0.1/0")
for name in names:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        if "migrations" not in found.name and not found.name.endswith("__main__"):
            importlib.import_module(found.name)
import kombu.transport.redis  # what the broker's URL loads
"""


def test_the_declared_requirements_bring_all_that_the_product_imports(tmp_path: Path) -> None:
    project = tomllib.loads((settings.PROJECT_DIR / "pyproject.toml").read_text())["project"]
    python, packages = environments.make(tmp_path / "product")
    environments.add(packages, project["dependencies"])
    done = subprocess.run(
        [str(python), "-I", "-c", IMPORT_ALL, str(settings.PROJECT_DIR), json.dumps(PRODUCT)],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
