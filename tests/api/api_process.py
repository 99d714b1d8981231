"""The API as it runs in production, and the ways to ask it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from tests.server_process import Answer, Header, ServerProcess


class ApiProcess(ServerProcess):
    """One API."""

    name = "api"
    secret_headers = frozenset({"authorization"})

    def ask(
        self, path: str, key: str | None = None, *, more: Iterable[Header] = (), method: str = "GET"
    ) -> Answer:
        """Ask with a key, or without one."""
        headers = [("authorization", f"Bearer {key}")] if key else []
        return self.request(method, path, headers=[*headers, *more])

    def post(
        self, path: str, key: str, body: Mapping[str, Any] | bytes, *, once: str | None = None
    ) -> Answer:
        """POST under the Idempotency-Key `once`, by default one that was never used."""
        headers = [
            ("authorization", f"Bearer {key}"),
            ("content-type", "application/json"),
            ("idempotency-key", once or str(uuid4())),
        ]
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, sent, headers)


def problem(answer: Answer) -> dict[str, Any]:
    """The problem of a refusal, which must be one in full."""
    assert answer.headers["content-type"] == "application/problem+json"
    shown: dict[str, Any] = json.loads(answer.body)
    assert shown["status"] == answer.status
    assert shown["title"]
    assert shown["detail"]
    assert shown["type"] == "about:blank" or shown["type"].startswith("urn:problem-type:billing:")
    assert shown["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.body.decode()
    return shown
