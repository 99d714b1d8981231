"""`billing notices`: endpoints, what was sent to them, and once more; in development `listen`."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

import settings
from cli.listen import forwarding
from cli.notices.exchange import readable
from cli.trigger import CAUSES, WITH_TIME
from tasks.notices import deliver as task
from tests.billing.given import rows
from tests.billing.notices import given
from tests.cli.runner import Ran, give, open_clinic, process, run, run_on_terminal
from tests.conftest import owner
from tests.stack_process import eventually
from tests.tasks.notices.platforms import Platforms
from tests.worker_process import WorkerProcess

pytestmark = pytest.mark.usefixtures("books", "redis")


def add(url: str, *more: str) -> tuple[int, str]:
    """An endpoint of the clinics, by the command; its id and its secret."""
    ran = run("notices", "endpoints", "add", url, "--product", "clinic_leads", *more, "--json")
    assert set(ran.json) == {"endpoint_id", "secret"}
    return ran.json["endpoint_id"], ran.json["secret"]


def endpoints(*arguments: str) -> Ran:
    return run("notices", "endpoints", *arguments)


def test_the_secret_of_an_endpoint_is_shown_once_with_what_to_do_with_it(
    platforms: Platforms,
) -> None:
    url = platforms.url("a")
    shown = run_on_terminal("notices", "endpoints", "add", url, "--product", "clinic_leads")

    (secret,) = re.findall(r"whsec_\S+", shown.out)
    assert "shown only now" in shown.out
    assert "billing notices endpoints test 1" in shown.out
    for again in (endpoints("list", "--json"), endpoints("show", "1", "--json"), run("audit-log")):
        assert secret not in again.out
    assert endpoints("list", "--json").json[0]["url"] == url


def test_what_cannot_be_an_endpoint_is_refused_with_what_to_do(
    platforms: Platforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(url: str, *more: str) -> str:
        return endpoints("add", url, "--product", "clinic_leads", *more).error

    assert "balance.low" in refused(platforms.url("a"), "--topic", "balance.lo")
    assert "https://" in refused("http://shop.example/notices")
    assert "not public (NOTICE_ALLOW_CIDRS)" in refused("https://10.0.0.1/notices")
    assert "unknown account" in refused(platforms.url("a"), "--account", "clinic:none")
    for command in ("show", "test", "rotate", "enable", "disable"):
        assert "billing notices endpoints list" in endpoints(command, "77").error
    monkeypatch.delenv("WEB_SECRETS")
    settings.get.cache_clear()
    assert "WEB_SECRETS" in refused(platforms.url("a"))


def test_a_test_shows_the_exchange_and_fails_unless_it_is_taken(platforms: Platforms) -> None:
    id_, secret = add(platforms.url("a"), "--topic", "balance.*")
    endpoints("disable", str(id_), "--reason", "moves house")

    taken = run_on_terminal("notices", "endpoints", "test", str(id_))
    platforms.behaviours["a"] = lambda _: 401
    refused = endpoints("test", str(id_), "--json")

    assert (taken.exit_code, refused.exit_code) == (0, 1)
    first, _ = platforms.at("a")
    first.verify(secret)
    for sent in (first.notice_id, first.headers["webhook-signature"], first.body.decode()):
        assert f"{sent}\n" in taken.out
    assert "< 200 after" in taken.out
    assert json.loads(refused.out)["status"] == 401
    assert endpoints("show", str(id_), "--json").json["state"] == "off"


def test_nothing_of_an_answer_controls_the_terminal() -> None:
    lines = readable(b"\x1b]0;owned\x07<b>no\r\n\x9b2J\xe2\x80\xaegpj.exe \xc3\xa9\n")
    assert lines == ["\\x1b]0;owned\\x07<b>no", "\\x9b2J\\u202egpj.exe é"]


def test_after_a_rotation_both_secrets_verify_until_the_overlap_ends(platforms: Platforms) -> None:
    id_, old = add(platforms.url("a"))
    rotated = endpoints("rotate", str(id_), "--overlap", "1h", "--json").json
    assert rotated["endpoint_id"] == id_

    endpoints("test", str(id_))
    endpoints("rotate", str(id_), "--overlap", "0s")
    endpoints("test", str(id_))

    both, newest = platforms.at("a")
    both.verify(old)
    both.verify(rotated["secret"])
    with pytest.raises(Exception, match="No matching signature"):
        newest.verify(old)
    assert "0 to 7 days" in endpoints("rotate", str(id_), "--overlap", "8d").error


def test_what_an_endpoint_missed_is_counted_and_replayed(platforms: Platforms) -> None:
    # Given an endpoint that is off while two things happen
    account = given_account()
    id_, _ = add(platforms.url("a"))
    endpoints("disable", str(id_))
    first, second = given.write(account, account)
    task.deliver()
    assert "is off" in run("notices", "replay", "--endpoint", str(id_)).error
    # When it is switched on and sent what it missed
    enabled = run_on_terminal("notices", "endpoints", "enable", str(id_))
    dry = run("notices", "replay", "--endpoint", str(id_), "--dry-run", "--json").json
    listed = run("notices", "list", "--state", "skipped", "--json").json
    done = run("notices", "replay", "--endpoint", str(id_), "--json").json
    task.deliver()
    # Then each step said how many, and both came
    assert f"missed 2 notices. To send them: billing notices replay --endpoint {id_}" in enabled.out
    assert (dry, done) == (
        {"deliveries": 2, "replayed": 0},
        {"deliveries": 2, "replayed": 2},
    )
    assert [one["notice_id"] for one in listed] == [f"ntc_{second}", f"ntc_{first}"]
    assert [call.notice_id for call in platforms.received] == [f"ntc_{first}", f"ntc_{second}"]


def test_notices_are_listed_and_shown_with_each_attempt(platforms: Platforms) -> None:
    account = given_account()
    id_, _ = add(platforms.url("a"))
    platforms.behaviours["a"] = lambda _: 500
    (notice,) = given.write(account)
    task.deliver()

    (listed,) = run("notices", "list", "--account", account, "--type", "lead.*", "--json").json
    shown = run("notices", "show", f"ntc_{notice}", "--json").json
    person = run_on_terminal("notices", "show", str(notice), width=80)

    assert {name: listed[name] for name in ("notice_id", "type", "account", "sequence")} == {
        "notice_id": f"ntc_{notice}",
        "type": "lead.parked",
        "account": account,
        "sequence": 1,
    }
    assert listed["deliveries"] == [{"endpoint_id": id_, "state": "pending", "attempts": 1}]
    (attempt,) = shown["deliveries"][0]["attempts_made"]
    assert (attempt["number"], attempt["status"]) == (1, 500)
    assert "500" in person.out
    for ran in (
        person,
        run_on_terminal("notices", "list", width=80),
        run_on_terminal("notices", "endpoints", "list", width=80),
    ):
        assert max(map(len, ran.out.splitlines())) <= 80, ran.out
    assert "billing notices list" in run("notices", "show", "ntc_999").error
    assert run("notices", "show", "evt_1").exit_code == 2
    assert "did you mean" in run("notices", "list", "--type", "lead.parket").error.lower()


def test_secrets_are_encrypted_again_by_the_first_secret_of_the_environment(
    platforms: Platforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_, secret = add(platforms.url("a"))
    new = "another-secret-of-the-tests-which-is-new"
    monkeypatch.setenv("WEB_SECRETS", f"{new},{given.WEB_SECRET}")
    settings.get.cache_clear()
    done = [run("notices", "secrets", "re-encrypt", "--json").json for _ in range(2)]
    assert done == [{"re_encrypted": 1}, {"re_encrypted": 0}]
    monkeypatch.setenv("WEB_SECRETS", new)
    settings.get.cache_clear()
    endpoints("test", str(id_))
    platforms.at("a")[0].verify(secret)


def test_nothing_is_played_with_outside_development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAZORPAY_KEY_ID", "rzp_live_1")
    monkeypatch.setenv("RAZORPAY_KEY_SECRET", "s" * 24)
    monkeypatch.delenv(settings.CLOCK_VARIABLE)
    settings.get.cache_clear()
    for command in (["listen"], ["trigger", "balance.low", "--account", "clinic:42"]):
        assert "works in development only" in run(*command).error


def test_what_can_be_triggered_is_listed_and_the_nearest_is_named() -> None:
    assert {one["topic"] for one in run("trigger", "--list", "--json").json} == set(CAUSES)
    wrong = run("trigger", "balance.lo", "--account", "clinic:42")
    assert (wrong.exit_code, "did you mean balance.low?" in wrong.err) == (2, True)
    for topic in WITH_TIME:
        assert "billing clock watch" in run("trigger", topic, "--account", "clinic:42").err
    assert "unknown account" in run("trigger", "balance.low", "--account", "clinic:none").error


def test_a_program_that_is_not_there_is_reported_and_the_sender_asked_to_try_again() -> None:
    reports: list[forwarding.Forwarded] = []
    with forwarding.Receiver("http://127.0.0.1:1/hooks", reports.append) as receiver:
        found = forwarding.forward(receiver.target, {"webhook-id": "ntc_7"}, b"{}")
        receiver.note(found)
        assert (found.answer, found.problem) == (503, forwarding.NOBODY)
        assert (receiver.unheard, receiver.reaches_its_target()) == ({7}, False)
    gone = forwarding.Forwarded({}, b"{}", 410, None, 1)
    assert gone.answer == 200


def given_account() -> str:
    open_clinic()
    give("1000")
    return "clinic:42"


@contextmanager
def listener(*arguments: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`billing listen` as a process that writes to a file."""
    with log.open("wb") as output:
        running = subprocess.Popen(
            [str(Path(sys.executable).with_name("billing")), "listen", *arguments],
            stdout=output, stderr=output, cwd=settings.PROJECT_DIR, env=dict(os.environ),
        )  # fmt: skip
    try:
        eventually("it listens", lambda: "Listening" in log.read_text())
        yield running
    finally:
        running.kill()
        running.wait()


def test_a_listener_gets_what_is_triggered_and_leaves_nothing_behind(
    platforms: Platforms, tmp_path: Path
) -> None:
    """Takes about 12 seconds: a worker and five commands, each a process of its own."""
    # Given a worker, and a listener that forwards to a program
    given_account()
    log = tmp_path / "listen.txt"
    forward = ["--forward", platforms.url("hooks"), "--account", "clinic:42", "--print-json"]
    with WorkerProcess(tmp_path / "notices.log", name="notices"):
        with listener(*forward, log=log) as running:
            # When something is triggered
            triggered = process("trigger", "balance.low", "--account", "clinic:42", "--json").json
            # Then it came, as it was signed, and both sides say so
            (call,) = platforms.at("hooks")
            (secret,) = re.findall(r"whsec_\S+", log.read_text())
            call.verify(secret)
            assert (call.notice_id, triggered["type"]) == (triggered["notice_id"], "balance.low")
            assert [d["state"] for d in triggered["deliveries"]] == ["done"]
            line = rf"balance.low  clinic:42  #1  {call.notice_id}  200  \d+ ms"
            eventually("the line is printed", lambda: re.search(line, log.read_text()))
            assert '"balance": 500' in log.read_text()
            # And when it is ended, its endpoint is gone (a shell's background jobs ignore SIGINT)
            running.send_signal(signal.SIGTERM)
            assert running.wait(60) == 0
            assert endpoints("list", "--json").json == []
        # Given one that is killed, when its lease has run out
        with listener(log=tmp_path / "killed.txt") as running:
            running.kill()
            assert len(endpoints("list", "--json").json) == 1
        with owner() as connection:
            connection.execute(text("UPDATE notice_endpoints SET lease_until = created_at"))
        # Then nothing is written for it any more
        assert endpoints("list", "--json").json == []
        last = process("trigger", "balance.exhausted", "--account", "clinic:42", "--json").json
        assert last["deliveries"] == []
        assert len(rows("SELECT 1 FROM notice_deliveries")) == 1
