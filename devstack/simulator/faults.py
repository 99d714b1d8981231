"""The faults of an API's door: too many requests, gateway errors, slow and lost answers.

Installed on the blueprint of each gateway, behind its authentication.
"""

import time
from collections.abc import Callable

from flask import Blueprint, Response, g, request

from devstack.simulator.world import World

LOSE = "simulator.lose"
"""In the WSGI environment: close the connection instead of the answer; `server.py` does it."""
CHANGING = {"POST", "PATCH", "DELETE"}
HTML = """<html>
<head><title>503 Service Temporarily Unavailable</title></head>
<body><center><h1>503 Service Temporarily Unavailable</h1></center><hr></body>
</html>
"""

Answer = Callable[[int], Response]


def install(blueprint: Blueprint, world: World, answer: Answer) -> None:
    """Let the switches act on every route; `answer(status)` is the gateway's body of 429 or 502."""

    @blueprint.before_request
    def before() -> Response | None:
        # Read whatever comes of it: what is left of a body would be taken for the next request.
        request.get_data()
        # Every roll is made for every request, so that one switch does not move another's luck.
        rolls = {
            name: world.rolls(name)
            for name in (
                "rate_limited", "bad_gateway", "html_answer", "fault_after_effect",
                "lost_response", "slow_answer",
            )
        }  # fmt: skip
        g.rolls = rolls
        if rolls["rate_limited"]:
            return answer(429)
        fault = _fault(rolls, answer)
        if fault is not None and not (rolls["fault_after_effect"] and request.method in CHANGING):
            return fault
        return None

    @blueprint.after_request
    def after(response: Response) -> Response:
        rolls: dict[str, bool] = g.get("rolls", {})
        if not rolls or rolls["rate_limited"]:
            return response
        if rolls["slow_answer"]:
            time.sleep(world.switches.slow_answer_seconds)
        if rolls["lost_response"] and request.method in CHANGING:
            request.environ[LOSE] = True
        return _fault(rolls, answer) or response


def _fault(rolls: dict[str, bool], answer: Answer) -> Response | None:
    if rolls["bad_gateway"]:
        return answer(502)
    if rolls["html_answer"]:
        return Response(HTML, 503, content_type="text/html")
    return None
