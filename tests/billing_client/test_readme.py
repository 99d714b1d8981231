"""The client's README, from the installation on: every block is run, in the order of the page.

One stack serves all of it, as it serves an integrator who reads. The tasks run in a worker.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from shlex import quote
from shutil import copy, copytree, ignore_patterns, which
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from werkzeug.serving import make_server

import settings
from billing_client.notice_memory import Turn
from devstack import ports
from tests.acceptance.harness import Stack
from tests.billing_client.bank import API_KEY, OPENING, Bank
from tests.docs import pages
from tests.stack_process import eventually, throw_away_folder
from tests.worker_process import WorkerProcess

README = settings.PROJECT_DIR / "billing_client" / "README.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$|^## ([^\n]+)$", re.M | re.S)
PLATFORM_PORT = ports.find_free()
TASKS = "Celery tasks that are paid for"

pytestmark = pytest.mark.acceptance


def blocks() -> Iterator[tuple[str, str, str]]:
    """Yield (title of the section, language, text) of each block of the page."""
    section = ""
    for found in BLOCK.finditer(README.read_text()):
        if found[3]:
            section = found[3]
        else:
            yield section, found[1], found[2]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with throw_away_folder() as folder, Stack(folder, "--no-demo") as running:
        yield running


@pytest.fixture
def checkout(stack: Stack, tmp_path: Path) -> Path:
    """The folder that the page begins in: the sources, and what `make run` has left in .data."""
    copytree(README.parent, tmp_path / "billing_client", ignore=ignore_patterns("__pycache__"))
    copy(settings.PROJECT_DIR / "Makefile", tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / ".data").symlink_to(stack.data_dir)
    commands = tmp_path / "commands"
    commands.mkdir()
    # The environment is that of the tests. pip looks at the wheel and its extras; there is no
    # network to bring the rest from, which test_wheel.py links.
    for name, command in (
        ("make", f"{which('make')} --old-file=.venv/.installed"),
        ("pip", f"{sys.executable} -m pip --quiet --disable-pip-version-check"),
    ):
        options = " --dry-run --no-deps --no-index" if name == "pip" else ""
        (commands / name).write_text(f'#!/bin/sh\nexec {command} "$@"{options}\n')
        (commands / name).chmod(0o755)
    of_the_stack = " ".join(f"{name}={quote(it)}" for name, it in stack.environment.items())
    billing = Path(sys.executable).parent / "billing"
    (commands / "billing").write_text(f'#!/bin/sh\nexec env {of_the_stack} {billing} "$@"\n')
    (commands / "billing").chmod(0o755)
    return tmp_path


def of_the_stack(text: str, stack: Stack) -> str:
    """The text with the addresses and the key of this stack."""
    for written, real in (
        ("http://127.0.0.1:8000", f"http://{ports.HOST}:{stack.environment['RECEIVER_PORT']}"),
        ("http://127.0.0.1:8001", f"http://{ports.HOST}:{stack.environment['API_PORT']}"),
        ("http://127.0.0.1:5000", f"http://{ports.HOST}:{PLATFORM_PORT}"),
        ("http://127.0.0.1:8009", stack.addresses["razorpay_api_base"]),
        ('api_key="..."', f'api_key="{stack.addresses["api_keys"].partition(":")[2]}"'),
        ("redis://broker:6379/0", stack.addresses["redis_url"]),
    ):
        text = text.replace(written, real)
    return text


def run_in_shell(block: str, folder: Path) -> dict[str, str]:
    """Run commands as somebody who reads them; return the variables that they have set."""
    path = f"{folder / 'commands'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", f"{block}\nenv -0 > variables"],
        cwd=folder, env={"PATH": path}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = (folder / "variables").read_text().split("\0")
    variables = dict(line.split("=", 1) for line in lines if line)
    return {name: value for name, value in variables.items() if name.startswith("BILLING_")}


def test_the_page_has_blocks_of_kinds_that_are_run() -> None:
    assert {language for _, language, _ in blocks()} == {"sh", "python"}


# Slow: it starts a stack, as the reader does.
def test_an_integrator_who_reads_on_gets_what_the_page_says(
    stack: Stack, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {"__name__": "readme"}
    for section, of_section in groupby(blocks(), key=lambda block: block[0]):
        for _, language, text in of_section:
            code = of_the_stack(text, stack)
            if language == "sh":
                for name, value in run_in_shell(code, checkout).items():
                    monkeypatch.setenv(name, value)
            elif section != TASKS:
                exec(compile(code, f"README.md: {section}", "exec"), names)  # noqa: S102
        if section in AFTER:
            AFTER[section](names, stack)
    names["client"].close()


def after_spending(names: dict[str, Any], stack: Stack) -> None:
    hold = names["client"].hold_status(names["hold"].hold_id)
    assert (hold.state, hold.captured) == ("captured", 35)


def after_flask_app(names: dict[str, Any], stack: Stack) -> None:
    visitor = names["app"].test_client()
    ordered = visitor.post("/topups", json={"package": "credits_1000"})
    assert ordered.json.keys() == {"key", "order_id"}
    report = {
        "razorpay_order_id": ordered.json["order_id"],
        "razorpay_payment_id": "pay_AAAAAAAAAAAAAA",
        "razorpay_signature": "0" * 64,
    }
    refused = visitor.post("/topups/paid", json=report)
    assert refused.mimetype == "application/problem+json"
    assert refused.json["request_id"]


def after_notices(names: dict[str, Any], stack: Stack) -> None:
    # Pulled before anything was sent: what the page itself has done so far, once
    assert int(names["cursor"]) > 0
    pulled = names["page"].notices
    assert "payment.captured" in {one.topic for one in pulled}
    assert names["hooks"].receiver.take(pulled[0]) is Turn.REPEAT
    # And what happens while the platform runs is sent to it
    client, server = names["client"], make_server(ports.HOST, PLATFORM_PORT, names["app"])
    with ThreadPoolExecutor(1) as thread:
        thread.submit(server.serve_forever)
        try:
            client.update_account("clinic:42", low_balance=50_000)
            eventually("the notice has come", lambda: "clinic:42" in names["warnings"])
        finally:
            client.update_account("clinic:42", low_balance=None)
            server.shutdown()
            server.server_close()
    left = f"{client.balance('clinic:42').balance} credits are left"
    assert names["warnings"] == {"clinic:42": left}
    request = SimpleNamespace(body=b"{}", headers={})
    assert names["view"](request)[1] == 400


def after_views(names: dict[str, Any], stack: Stack) -> None:
    visitor = names["app"].test_client()
    body = {"notes": "x" * 2_500, "question": "y" * 250}
    for path in ("summaries", "answers"):
        before = names["client"].balance("clinic:42").balance
        for _ in range(2):
            answer = visitor.post(
                f"/clinics/42/{path}", json=body, headers={"Idempotency-Key": "k"}
            )
            assert answer.status_code == 200
        assert before - names["client"].balance("clinic:42").balance == 3, path


def after_leads_over_celery(names: dict[str, Any], stack: Stack) -> None:
    stack.wait_until_charged("L-20", "L-21")


def after_asyncio(names: dict[str, Any], stack: Stack) -> None:
    assert ("usage", -len("a long text")) in stack.ledger("clinic:42")


AFTER = {
    "A Flask app": after_flask_app,
    "Receive notices in five minutes": after_notices,
    "Spending credit": after_spending,
    "Flask views that are paid for": after_views,
    "Leads over Celery": after_leads_over_celery,
    "asyncio": after_asyncio,
}


@pytest.mark.usefixtures("redis")
def test_the_task_is_paid_for(bank: Bank, tmp_path: Path) -> None:
    [code] = [text for section, _, text in blocks() if section == TASKS]
    for written, real in (
        ("http://127.0.0.1:8001", bank.proxy.url),
        ('api_key="..."', f'api_key="{API_KEY}"'),
        ("redis://broker:6379/0", os.environ["REDIS_URL"]),
    ):
        code = code.replace(written, real)
    (tmp_path / "readme_tasks.py").write_text(code)
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{settings.PROJECT_DIR}"}
    url = os.environ["REDIS_URL"]
    with (
        WorkerProcess(tmp_path / "worker.log", app="readme_tasks", **environment) as worker,
        Celery("sender", broker=url, set_as_current=False) as sender,
    ):
        # The worker of the tests listens to this queue
        sender.send_task("readme_tasks.render", (bank.account, 7), queue="leads")
        eventually("it is done", lambda: worker.has_logged("succeeded"))
    assert bank.holds() == [("captured", 14, 7)]
    assert bank.balance() == OPENING - 7


def test_its_links_lead_somewhere() -> None:
    for target, anchor in re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", README.read_text()):
        page = (README.parent / target).resolve()
        assert page.is_file(), target
        assert not anchor or anchor in anchors_of(page), f"{target}#{anchor}"


def anchors_of(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", pages.without_blocks(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
