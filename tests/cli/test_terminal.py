"""On a terminal of 80 columns no id, time or amount is cut, and money asks before it moves."""

import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from fcntl import ioctl
from pathlib import Path
from uuid import uuid4

import click
import pytest
from sqlalchemy import select, text

import clock
import settings
from billing import audit
from billing.leads import LeadRequest, charge_leads
from cli.main import billing
from db import deliveries
from db.deliveries import NewEvent
from db.models import Account, Chargeback, Hold, Order, Payment, Refund
from db.session import transaction
from tests.billing.disputes.given import dispute
from tests.billing.given import rows
from tests.cli.runner import give, open_clinic, run, run_on_terminal
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database", "redis")

REF = "clinic:5d0c2a1e-9f3b-4c76-8a54-2f6e7d81b903"
LEAD = f"lead-{uuid4()}"[:40]
LEAD = LEAD.ljust(40, "x")
PAYMENT, ORDER, DISPUTE = "pay_29QQoUBi66xm2f", "order_mg9JUKc2qBiAbc", "disp_AHfqOvkldwsbqt"
LONG = "the payer wrote many words about why it should not have been charged at all, " * 3
RUPEES = "₹1,00,00,000"  # 10,000,000
CREDITS = 10_000_000


def given_long_data() -> None:
    open_clinic(REF, name="Shree Ganesh Multi-speciality Clinic and Research Centre")
    open_clinic("clinic:42")
    give(str(CREDITS), REF)
    with transaction() as session:
        request = LeadRequest(lead_id=LEAD, account=REF, package_price_paise=750_000)
        charge_leads(session, [request], actor="test")
        deliveries.record(session, [NewEvent("razorpay", f"evt_{uuid4()}", b"{}", clock.now())])
    dispute(LEAD, account=REF)
    with owner() as connection:
        connection.execute(text("UPDATE inbound_events SET type = 'payment.downtime.resolved'"))
    now = clock.now()
    with transaction() as session, audit.asked_by("cli:test", door="cli"):
        account = session.scalars(select(Account).where(Account.ref == REF)).one()
        times = {"created_at": now, "updated_at": now}
        paid = Payment(
            gateway="razorpay", gateway_payment_id=PAYMENT, gateway_order_id=ORDER,
            account_id=account.id, state="captured", amount_paise=100 * CREDITS, currency="INR",
            credits=CREDITS, credited_at=now, **times,
        )  # fmt: skip
        order = Order(
            account_id=account.id, gateway="razorpay", receipt=str(uuid4()), package="growth",
            gateway_order_id=ORDER, state="open", amount_paise=100 * CREDITS, currency="INR",
            credits=CREDITS, bonus_credits=0, requested_by="api-key:marketplace", **times,
        )  # fmt: skip
        session.add_all([paid, order])
        session.flush()
        session.add(
            Refund(
                payment_id=paid.id, gateway="razorpay", request_key=str(uuid4()), state="failed",
                receipt=str(uuid4()), amount_paise=100 * CREDITS, reason=LONG, requested_by="ops",
                last_error=LONG, **times,
            )
        )  # fmt: skip
        session.add(
            Chargeback(
                payment_id=paid.id, gateway="razorpay", gateway_dispute_id=DISPUTE, state="open",
                amount_paise=100 * CREDITS, moves_money=True, respond_by=now, phase="chargeback",
                reason_code="goods_or_services_not_received_or_partially_received", **times,
            )
        )  # fmt: skip
        session.add(
            Hold(
                account_id=account.id, amount=CREDITS, state="open", created_at=now, expires_at=now,
                idempotency_key=str(uuid4()), kind="usage", actor="test", description="x",
            )
        )  # fmt: skip


def lists(command: click.Command = billing, path: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """Yield every command that lists pages, with an account for what it needs."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from lists(inner, (*path, name))
    elif any("--after" in option.opts for option in command.params):
        needed = [REF for one in command.params if isinstance(one, click.Argument)]
        yield [*path, *needed]


SHOWN = [
    ["accounts", "show", REF], ["payments", "show", PAYMENT], ["leads", "show", LEAD],
    ["refunds", "show", "1"], ["holds", "show", "1"], ["disputes", "show", "1"],
    ["inbox", "show", "1"], ["balance", REF], ["forecast", REF], ["outstanding"],
    ["statement", REF, "--from", "2026-11-01", "--to", "2026-11-30"], ["plans", "show", REF],
    ["status"], ["doctor"],
]  # fmt: skip

SCRIPT = """
import json, sys
from cli.main import billing
for arguments in json.loads(sys.argv[1]):
    try:
        billing(arguments, standalone_mode=False)
    except SystemExit:
        pass
    print("-- end --", flush=True)
"""


def on_a_terminal(commands: Sequence[Sequence[str]], *, columns: int) -> list[str]:
    """Return what each command prints on a terminal, without its colours."""
    reader, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(settings.PROJECT_DIR)}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)],
        stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, env=environment, text=True,
    )  # fmt: skip
    os.close(terminal)
    printed = b""
    while True:
        try:
            printed += (part := os.read(reader, 65_536))
        except OSError:  # the other side is closed
            break
        if not part:
            break
    assert process.stderr
    complaints = process.stderr.read()
    process.stderr.close()
    os.close(reader)
    assert process.wait(30) == 0, complaints
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed.decode()).replace("\r\n", "\n")
    return plain.split("-- end --\n")[:-1]


def test_at_80_columns_no_line_is_longer_and_no_id_or_amount_is_cut() -> None:
    # Given ids and amounts as long as they come
    given_long_data()
    commands = [*lists(), *SHOWN]
    wide = [[*command, "--wide"] for command in lists()]

    # When each command runs on a terminal of 80 columns
    printed = on_a_terminal([*commands, *wide], columns=80)

    # Then every line fits, and whatever is shown is whole
    assert len(printed) == len(commands) + len(wide)
    whole = (REF, LEAD, PAYMENT, ORDER, DISPUTE, RUPEES, f"{CREDITS:,}")
    for command, shown in zip([*commands, *wide], printed, strict=True):
        name = " ".join(command[:2])
        assert "…" not in shown, name
        for line in shown.splitlines():
            assert len(line) <= 80, (name, line)
        for value in whole:
            for piece in re.findall(re.escape(value[: len(value) // 2]) + r"\S*", shown):
                assert piece.startswith(value) or piece not in value, (name, piece)
    by_name = {
        " ".join(command[:2]): shown
        for command, shown in zip(commands, printed[: len(commands)], strict=True)
    }
    for name, values in {
        "payments list": (PAYMENT, REF, RUPEES), "chargebacks list": (DISPUTE, RUPEES),
        "refunds list": (PAYMENT, RUPEES), "leads list": (LEAD, REF), "disputes list": (LEAD,),
        "holds list": (REF, f"{CREDITS:,}"), "accounts list": (REF,),
        f"history {REF}": (f"{CREDITS:,}",), "payments show": (PAYMENT, ORDER, REF, RUPEES),
    }.items():  # fmt: skip
        for value in values:
            assert value in by_name[name], (name, value)


@pytest.mark.parametrize("width", [80, 140])
def test_a_table_that_fits_is_a_table_with_its_units(width: int) -> None:
    open_clinic("clinic:42")
    give("1234567")

    shown = run_on_terminal("history", "clinic:42", width=width).out.splitlines()

    assert shown[0].split() == ["version", "amount", "balance", "after", "kind", "event", "at"]
    assert shown[1].split() == ["credits", "credits", "Asia/Kolkata"]
    assert set(shown[2]) == {"─", " "}
    assert "1,234,567" in shown[3]


def test_a_list_says_how_many_more_there_are_and_pages_to_its_end() -> None:
    open_clinic()
    for _ in range(5):
        give("1")

    pages: list[list[str]] = []
    after: list[str] = []
    while True:
        ran = run_on_terminal("history", "clinic:42", "--limit", "2", *after)
        pages.append([line.split()[0] for line in ran.out.splitlines()[3:]])
        found = re.fullmatch(r"(\d+) more: billing (.*) --after (\S+)\n", ran.err)
        if found is None:
            break
        after = ["--after", found[3]]

    assert pages == [["5", "4"], ["3", "2"], ["1"]]
    assert "3 more: " in run_on_terminal("history", "clinic:42", "--limit", "2").err


# Any text is a position among names.
BY_NAME = {"accounts", "api-keys", "quality"}


@pytest.mark.parametrize(
    "command",
    [command for command in lists() if command[0] not in BY_NAME],
    ids=lambda command: " ".join(command[:2]),
)
def test_what_is_no_position_of_a_list_is_refused_by_name(command: list[str]) -> None:
    open_clinic(REF)
    assert "after is not a position" in run(*command, "--after", "no,such,place,").error


@pytest.mark.parametrize("since", ["2026-11-30", "yesterday", "7d", "1970-01-01T00:00Z", "today"])
def test_since_is_understood_by_every_list_of_what_happened(since: str) -> None:
    given_long_data()
    timed = [c for c in lists() if "--since" in run(*c[:-1] if c[-1] == REF else c, "--help").out]
    assert len(timed) >= 10
    for command in timed:
        ran = run(*command, "--since", since, "--json")
        assert isinstance(ran.json, list), command
    assert len(run("payments", "list", "--since", "1d", "--json").json) == 1
    assert run("payments", "list", "--until", "1d", "--json").json == []


def test_a_pipe_gets_a_header_and_whole_rows_that_can_be_parted() -> None:
    name = "tab\\there"
    open_clinic("clinic:42", name=name)
    give("1234567")

    header, row = (line.split("\t") for line in run("accounts", "list").out.splitlines())
    record = dict(zip(header, row, strict=True))

    assert record["balance"] == "1234567"
    assert record["name"] == "tab\\\\there"  # a backslash is doubled, as by COPY of PostgreSQL
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", record["created_at"])
    assert record["gstin"] == ""
    assert set(header) == set(run("accounts", "list", "--json").json[0])
    csv = run("accounts", "list", "--csv").out.splitlines()
    assert csv[0].split(",") == header


def answer(*arguments: str, says: str) -> tuple[int, str]:
    """Run `billing` at a terminal whose person answers; return its exit code and all it shows."""
    reader, terminal = pty.openpty()
    process = subprocess.Popen(
        [Path(sys.executable).with_name("billing"), *arguments],
        stdin=terminal, stdout=terminal, stderr=terminal, cwd=settings.PROJECT_DIR,
    )  # fmt: skip
    os.close(terminal)
    os.write(reader, says.encode())
    shown = b""
    while True:
        try:
            shown += os.read(reader, 65_536)
        except OSError:
            break
    os.close(reader)
    return process.wait(30), shown.decode()


GIVE = ("credit", "clinic:42", "1000", "--reason", "welcome")


def test_a_person_at_a_terminal_is_asked_before_money_moves() -> None:
    open_clinic()

    no, asked = answer(*GIVE, says="n\n")
    assert (no, balance()) == (1, 0)
    assert "Give 1,000 credits to clinic:42 (City Clinic; its balance is 0)? [y/N]" in asked
    yes, _ = answer(*GIVE, says="y\n")
    assert (yes, balance()) == (0, 1_000)
    # Nobody is asked with --yes, or without a terminal
    sure, shown = answer(*GIVE, "--yes", says="")
    assert (sure, balance(), "?" in shown) == (0, 2_000, False)
    assert (run(*GIVE).exit_code, balance()) == (0, 3_000)


def balance() -> object:
    return run("balance", "clinic:42", "--json").json["balance"]


def test_whoever_says_no_name_acts_as_the_systems_user() -> None:
    from cli.actor import process_actor  # noqa: PLC0415 - beside the test that needs it

    open_clinic()
    give("5")
    run(*GIVE)
    run("accounts", "set", "clinic:42", "--name", "A")
    run("accounts", "set", "clinic:42", "--name", "B", "--actor", "asha")

    me = process_actor()
    assert [row["actor"] for row in run("history", "clinic:42", "--json").json] == [me, "ops"]
    assert f"{me} (as asha)" in {str(row[0]) for row in rows("SELECT actor FROM billing_audit_log")}
