"""What granian serves as the receiver: its Flask app behind `service/asgi.py`.

The views run on the event loop, without a thread each: they compute, and leave the waiting for the
commit to `answers.answer_later`. Only what asks the database itself runs in a thread.
"""

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from service.asgi import Adapter, Door
from service.http_messages import ONCE, Answer, Environ, HeaderRules, WsgiApp, answer_of
from webhook_receiver import answers
from webhook_receiver.app import create_app

HEADERS = HeaderRules(
    once=ONCE
    | {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "x-razorpay-signature",
        "x-razorpay-event-id",
        "stripe-signature",
    }
)
IN_A_THREAD = frozenset({"/readyz"})
THREADS = 2


def create_server() -> Adapter:
    """Return the ASGI application; called once in a process."""
    return Adapter(
        Door(
            call=_Calls(create_app()).answer,
            refuse=answers.refuse_unread,
            max_body_bytes=answers.MAX_BODY_BYTES,
            headers=HEADERS,
        )
    )


class _Calls:
    """How the app is called."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="request")

    async def answer(self, environ: Environ) -> Answer:
        if environ["PATH_INFO"] in IN_A_THREAD:
            call = partial(answer_of, self._app, environ)
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        answer = answer_of(self._app, environ)
        later: Awaitable[Answer] | None = environ.get(answers.LATER)
        return answer if later is None else await later
