"""A test notice to one endpoint, with the whole exchange shown: what was sent, what came back.

The answer is a stranger's: nothing of it reaches the terminal but plain letters.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import click

import clock
from billing.notices import Answer, Attempted, finish, lease_test
from cli.cells import plain
from cli.notices import nudge
from cli.options import View
from cli.output import is_for_people, print_json
from db.session import transaction
from service.signing import CannotDecrypt


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call and its answer."""

    notice_id: int
    url: str
    headers: Mapping[str, str]
    body: bytes
    answer: Answer


def hold(endpoint_id: int) -> Exchange:
    """Send an `endpoint.test` to an endpoint now, record the attempt, and return the exchange."""
    # Imported only when needed: it loads the certificates that the system trusts.
    from notify.http import Allowed, Sender, headers_of  # noqa: PLC0415

    with transaction() as session:
        lane = lease_test(session, endpoint_id, now=clock.now())
    if not lane.secrets:
        raise CannotDecrypt
    [due] = lane.deliveries
    started_at, now = clock.now(), clock.real_now()
    signed = headers_of(due.notice_id, due.body, secrets=lane.secrets, now=now)
    headers = {"Content-Type": "application/json", **signed}
    with Sender(Allowed.by_settings()) as sender:
        answer = sender.post(lane.url, headers, due.body)
    done = Attempted(due.delivery_id, lane.lease_id, due.attempt_number, started_at, answer)
    nudge.silence_the_log()  # its line would stand in the middle of what is printed
    with transaction() as session:
        finish(session, [done], now=clock.now())
    return Exchange(due.notice_id, lane.url, headers, due.body, answer)


def show(held: Exchange, view: View) -> None:
    """Print an exchange: as JSON for machines, else as it went over the wire."""
    answer = held.answer
    if not is_for_people(view):
        print_json({
            "notice_id": f"ntc_{held.notice_id}",
            "url": held.url,
            "request": {"headers": held.headers, "body": held.body.decode()},
            "status": answer.status,
            "error": answer.error,
            "answer": answer.head.decode("utf-8", "backslashreplace"),
            "duration_ms": answer.duration_ms,
        })  # fmt: skip
        return
    click.echo(f"> POST {plain(held.url)}")
    for name, value in held.headers.items():
        click.echo(f"> {name}: {value}")
    click.echo(f">\n> {plain(held.body.decode())}\n")
    if answer.status is None:
        click.echo(f"No answer after {answer.duration_ms:,} ms: {plain(answer.error)}")
        return
    click.echo(f"< {answer.status} after {answer.duration_ms:,} ms")
    for line in readable(answer.head):
        click.echo(f"< {line}")
    if not answer.is_success:
        click.echo("\nOnly an answer of 2xx counts as delivered.")


def readable(head: bytes) -> list[str]:
    """Return the beginning of an answer as lines that cannot control a terminal."""
    if not head:
        return ["(no body)"]
    text = head.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return [plain(line) for line in text.rstrip("\n").split("\n")]
