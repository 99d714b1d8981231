"""What granian serves as `web`: its Flask app behind `service/asgi.py`, in a few threads.

People have no key whose share could be counted: all of them share the threads, and the probes of
an orchestrator have one of their own.
"""

from functools import partial

from flask import Flask

from service.asgi import Adapter, Door
from service.http_messages import ONCE, Answer, Environ, HeaderRules, Refused, answer_of
from service.thread_shares import AllTaken, ShareTaken, Sizes, ThreadShares
from web.app import CONNECTIONS, create_app
from web.kit import refusals

MAX_BODY_BYTES = 64 * 1024
"""Of a form."""
HEADERS = HeaderRules(once=ONCE)
SIZES = Sizes(
    threads=CONNECTIONS,
    of_a_caller=CONNECTIONS - 1,
    for_slow_work=1,
    for_slow_work_of_a_caller=1,
    waiting_of_a_caller=128,
    wait_seconds=20.0,
)
ON_THE_LOOP = frozenset({"/healthz"})
"""Only computed: the process lives while all threads wait for a database that hangs."""
PROBES = frozenset({"/readyz"})


def create_server() -> Adapter:
    """Return the ASGI application; called once in a process."""
    app = create_app()
    return Adapter(
        Door(
            call=_Calls(app).answer,
            refuse=partial(refusals.of_unread, app),
            max_body_bytes=MAX_BODY_BYTES,
            headers=HEADERS,
        )
    )


class _Calls:
    """How the app is called: in a thread, or at once."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._threads = ThreadShares(SIZES)

    async def answer(self, environ: Environ) -> Answer:
        path = environ["PATH_INFO"]
        if path in ON_THE_LOOP:
            return answer_of(self._app, environ)
        caller = "probes" if path in PROBES else "people"
        try:
            return await self._threads.run(
                caller, partial(answer_of, self._app, environ), slow=False
            )
        except (ShareTaken, AllTaken):
            raise Refused(503, "the server is busy") from None
