"""The product as its users meet it: the real stack, signed events over HTTP, the `billing` command.

`Stack` is what the acceptance tests hold in their hands.
"""

import http.client
import json
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis

import clock
import settings
from devstack import ports, probes
from service import standard_webhooks
from tests.stack_process import StackProcess, eventually

NO_ANSWER = 0
"""In place of a status: the connection broke, so the sender does not know."""


@dataclass(frozen=True)
class LeadEvent:
    """A lead event as a platform sends it; sent again, the same bytes under the same id."""

    event_id: str
    lead_id: str
    account: str
    price_paise: int

    @property
    def body(self) -> bytes:
        data = {
            "lead_id": self.lead_id,
            "account": self.account,
            "package_price_paise": self.price_paise,
        }
        event = {"type": "lead.created", "timestamp": "2026-01-02T03:04:05Z", "data": data}
        return json.dumps(event).encode()


class Stack(StackProcess):
    """The whole stack with everything a test asks of it."""

    def post_lead(self, event: LeadEvent, *, timeout: float = 10) -> int:
        """Send a signed event; return the status, or `NO_ANSWER`."""
        timestamp = int(clock.now().timestamp())
        secret = self.addresses["lead_webhook_secrets"]
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event.event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": standard_webhooks.sign(
                secret, message_id=event.event_id, timestamp=timestamp, body=event.body
            ),
        }
        return self._request("POST", "/webhooks/leads", event.body, headers, timeout=timeout)

    def get(self, path: str) -> int:
        """GET a path of the receiver; return the status, or `NO_ANSWER`."""
        return self._request("GET", path, None, {}, timeout=10)

    def ask(self, path: str, *, key: str | None = None) -> tuple[int, Any]:
        """GET a path of the API with a key, by default the stack's own; return status and body."""
        if key is None:
            key = self.addresses["api_keys"].partition(":")[2]
        port = int(self.environment["API_PORT"])
        status, body = probes.http_get(port, path, authorization=f"Bearer {key}")
        return status or NO_ANSWER, json.loads(body or b"null")

    def billing(self, *arguments: str) -> Any:
        """Run the `billing` command with `--json`; return what it printed, read."""
        done = self.billing_process(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def billing_process(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the `billing` command as an operator does: it finds this stack by its folder."""
        command = [str(Path(sys.executable).parent / "billing"), *arguments]
        return subprocess.run(
            command, env=self.environment, cwd=settings.PROJECT_DIR, capture_output=True,
            text=True, stdin=subprocess.DEVNULL, timeout=120, check=False,
        )  # fmt: skip

    def make_account(self, ref: str, *, opening_credits: int) -> None:
        """Make a clinic's account with some credit."""
        for arguments in (
            ("accounts", "create", ref, "--name", f"Clinic {ref}", "--product", "clinic_leads"),
            ("credit", ref, str(opening_credits), "--reason", "test", "--actor", "acceptance"),
        ):
            done = self.billing_process(*arguments)
            assert done.returncode == 0, done.stderr

    def balance(self, ref: str) -> int:
        """Return the balance as `billing balance` shows it."""
        balance: int = self.billing("balance", ref)["balance"]
        return balance

    def ledger(self, ref: str) -> list[tuple[str, int]]:
        """Return (kind, credits) of each row of an account, oldest first."""
        rows = (
            "SELECT t.kind, t.amount FROM credit_transactions t"
            " JOIN accounts a ON a.id = t.account_id WHERE a.ref = %s ORDER BY t.version"
        )
        return [(kind, amount) for kind, amount in self.sql(rows, ref)]

    def sql(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query; it can only read."""
        with closing(psycopg2.connect(self.addresses["database_url"])) as connection:
            connection.set_session(readonly=True, autocommit=True)
            with connection.cursor() as cursor:
                cursor.execute(query, parameters)
                return cursor.fetchall()

    def value(self, query: str, *parameters: object) -> Any:
        """Return the one value of a query."""
        return self.sql(query, *parameters)[0][0]

    def wait_until_charged(self, *lead_ids: str, seconds: float = 30) -> None:
        """Wait until every lead has an outcome, charged or parked."""
        count = "SELECT count(*) FROM lead_charges WHERE lead_id = ANY(%s)"
        eventually(
            f"{len(lead_ids)} leads are charged",
            lambda: self.value(count, list(lead_ids)) == len(lead_ids),
            seconds=seconds,
        )

    def wait_until_database_answers(self) -> None:
        """Wait until PostgreSQL takes connections again, and the receiver uses it."""

        def answers() -> bool:
            try:
                return bool(self.value("SELECT true")) and self.get("/readyz") == 200
            except psycopg2.OperationalError:
                return False

        eventually("PostgreSQL answers", answers)

    def wait_until_redis_answers(self) -> None:
        """Wait until Redis answers again, with its data read."""

        def answers() -> bool:
            try:
                with redis.Redis.from_url(self.addresses["redis_url"]) as client:
                    return bool(client.ping())
            except redis.RedisError:
                return False

        eventually("Redis answers", answers)

    def flush_redis(self) -> None:
        """Empty Redis: every message, every lock, everything."""
        with redis.Redis.from_url(self.addresses["redis_url"]) as client:
            client.flushall()

    def worker_children(self) -> list[int]:
        """Return the pids of the processes that run tasks; none while the worker restarts."""
        parent = self.pid_of("worker")
        try:
            return [child.pid for child in psutil.Process(parent).children()] if parent else []
        except psutil.NoSuchProcess:
            return []

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        *,
        timeout: float,
    ) -> int:
        port = int(self.environment["RECEIVER_PORT"])
        connection = http.client.HTTPConnection(ports.HOST, port, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return NO_ANSWER
        finally:
            connection.close()


def tiers() -> list[tuple[int, int]]:
    """Return (package price in paise, credits it costs), one for each tier of the catalog."""
    return [
        (100_000, 100),
        (500_000, 180),
        (1_200_000, 250),
        (2_000_000, 320),
        (7_500_000, 400),
        (10_000_000, 500),
    ]


def pause(seconds: float) -> None:
    """Let the stack run on for a while."""
    time.sleep(seconds)
