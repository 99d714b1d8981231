"""The route handlers of docs/how-to/nextjs.md under Node, with the real API and the simulator."""

import base64
import hmac
import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import clock
from api.app import create_app
from devstack import ports
from tests.acceptance.harness import Stack
from tests.billing_client.notice_world import (
    OF_NOBODY,
    OLD_SECRET,
    SECRET,
    body_of,
    example,
    signed,
)
from tests.docs import pages

PAGE = pages.DOCS / "how-to" / "nextjs.md"
PLATFORM = Path(__file__).with_name("nextjs_platform.mjs")
SCHEMA = re.compile(r'\.Schemas\["(\w+)"\]')
NAME = re.compile(r"// ([\w./\[\]-]+\.js)\n")
OLDEST = 18
"""Node's first release with `fetch`, `Request` and `Response.json`; Next.js asks for more."""
ACCOUNT, POOR = "clinic:next-1", "clinic:next-2"

pytestmark = pytest.mark.acceptance


def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip(
            f"Node.js {OLDEST} or newer is not here: https://nodejs.org, apt-get install nodejs"
        )
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.lstrip("v").partition(".")[0]) < OLDEST:
        pytest.skip(f"Node.js {version.stdout.strip()} is older than {OLDEST}")
    return found


@pytest.fixture(scope="session")
def with_node() -> None:
    """Skip before a stack is started for nothing."""
    node()


def files_of_page() -> dict[str, str]:
    """Return path -> text of each block that names its file."""
    found = {}
    for _, block in pages.blocks(PAGE, "js"):
        name = NAME.match(block)
        assert name, f"a js block without a file: {block[:60]}"
        found[name[1]] = block
    return found


# Slow: accounts and keys are made by the `billing` command, a process each.
@pytest.mark.usefixtures("with_node")
def test_a_platform_in_nextjs_tops_up_and_spends(stack: Stack, tmp_path: Path) -> None:
    # Given the page's files in a folder, and two clinics, one without credit
    for name, text in files_of_page().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(PLATFORM, tmp_path)
    for ref in (ACCOUNT, POOR):
        stack.billing("accounts", "create", ref, "--name", "A", "--product", "clinic_leads")
    key = stack.billing("api-keys", "create", "website", "--product", "clinic_leads")["key"]

    # When a browser walks through it
    done = subprocess.run(
        [node(), PLATFORM.name, ACCOUNT, POOR, stack.addresses["razorpay_api_base"]],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env={
            "PATH": "",
            "BILLING_API_URL": f"http://{ports.HOST}:{stack.environment['API_PORT']}",
            "BILLING_API_KEY": key,
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)

    # Then one order is paid and credited once
    assert seen["ordered"]["status"] == 201
    assert seen["orderedAgain"] == seen["ordered"]
    assert seen["open"] == {"status": 200, "state": "open", "balance": 0}
    assert seen["result"] == "credited"
    assert seen["paid"] == {"status": 200, "state": "paid", "balance": 5500}
    assert seen["ofAnother"] == {"status": 404, "error": "unknown-order"}
    # And each question is charged once, whatever is sent again or gets lost
    cost, second, third = len("How many?"), len("And now?"), len("And then?")
    assert seen["answered"]["cost"] == cost
    assert seen["answeredAgain"] == seen["answered"]
    assert seen["answerLost"]["cost"] == second
    assert seen["keysOfLost"] == 2, "the repeat has the key of the first"
    assert seen["answerCut"]["cost"] == third
    assert seen["busy"] == {"status": 503, "error": "try-again"}
    assert seen["failed"] == "nothing was asked"
    assert stack.ledger(ACCOUNT) == [
        ("top_up", 5000), ("bonus", 500), ("usage", -cost), ("usage", -second),
        ("usage", -third),
    ]  # fmt: skip
    assert stack.billing("balance", ACCOUNT)["held"] == 0, "what failed holds nothing"
    # And a refusal is what its type says
    assert seen["tooPoor"] == {
        "status": 402, "error": "not-enough-credit", "needed": 50, "available": 0,
    }  # fmt: skip
    assert seen["unknownAccount"] == {"status": 404, "error": "unknown-account"}
    assert seen["wrongField"]["status"] == 422
    assert [problem["field"] for problem in seen["wrongField"]["fields"]] == ["package"]
    assert (seen["wrongKey"]["status"], seen["wrongKey"]["error"]) == (500, "billing")
    assert len(seen["logged"]) == 1
    assert "wrong" not in seen["logged"][0]


RECEIVE = """
import { POST } from "./app/api/notices/route.js";
const statuses = [];
for (const { body, headers } of JSON.parse(process.argv[1])) {
  const request = new Request("http://shop.example/", { method: "POST", body, headers });
  statuses.push((await POST(request)).status);
}
console.log(JSON.stringify(statuses));
"""


def by_no_key(headers: dict[str, str], body: bytes) -> str:
    """The signature that whoever has no secret can make: that of an empty one."""
    signed_bytes = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(b"", signed_bytes, "sha256")).decode()


@pytest.mark.usefixtures("with_node")
def test_its_route_takes_notices_that_are_signed_and_no_other(tmp_path: Path) -> None:
    name = "app/api/notices/route.js"
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(files_of_page()[name])
    (tmp_path / "package.json").write_text('{"type": "module"}')
    body, now = body_of("balance.low", example("balance.low")), clock.real_now()
    good = signed(body, at=now)
    both = f"{signed(body, at=now, secret=OF_NOBODY)['webhook-signature']} "
    deliveries = [
        (body, good, 204),
        (body, signed(body, at=now, secret=OLD_SECRET), 204),
        (body, {**good, "webhook-signature": both + good["webhook-signature"]}, 204),
        (body, signed(body, at=now, secret=OF_NOBODY), 401),
        (body, signed(body, at=now - timedelta(seconds=302)), 401),
        (body, signed(body, at=now + timedelta(seconds=330)), 401),
        (body, {**good, "webhook-id": "ntc_18"}, 401),
        (body + b" ", good, 401),
        (body, {**good, "webhook-signature": "v1,"}, 401),
        (body, {**good, "webhook-timestamp": "soon"}, 401),
        (body, {}, 401),
        (body, {**good, "webhook-signature": by_no_key(good, body)}, 401),
    ]
    given = [{"body": one.decode(), "headers": headers} for one, headers, _ in deliveries]
    done = subprocess.run(
        [node(), "--input-type=module", "-e", RECEIVE, json.dumps(given)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": "", "BILLING_NOTICE_SECRETS": f"{SECRET}  {OLD_SECRET} "},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *handled, statuses = done.stdout.splitlines()
    assert json.loads(statuses) == [status for _, _, status in deliveries]
    assert handled == ["ntc_17: clinic:42 has 420 credits"] * 3


def test_its_types_are_those_of_the_document() -> None:
    document: Any = create_app().test_client().get("/openapi.json").get_json(force=True)
    named = {name for block in files_of_page().values() for name in SCHEMA.findall(block)}
    assert len(named) > 3
    assert named <= document["components"]["schemas"].keys()


def test_what_the_browser_gets_holds_no_key_of_ours() -> None:
    blocks = [block for language in ("js", "jsx") for _, block in pages.blocks(PAGE, language)]
    in_the_browser = [
        block for block in blocks if "app/api/" not in block.partition("\n")[0]
        and not block.startswith(("// lib/billing.js", "// lib/session.js"))
    ]  # fmt: skip
    assert len(in_the_browser) == 2
    assert not any("BILLING_API" in block for block in in_the_browser)
