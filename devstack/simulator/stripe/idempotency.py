"""`Idempotency-Key`: the first answer to a key is kept and given again.

Kept are answers to requests that were carried out; a refusal of the parameters is not one.
"""

from collections.abc import Callable

from flask import Response, request

from devstack.simulator.stripe.errors import ApiError
from devstack.simulator.stripe.store import Stored
from devstack.simulator.world import World

HEADER = "Idempotency-Key"
LONGEST = 255


def once(world: World, carry_out: Callable[[], Response]) -> Response:
    """Return the stored answer of the request's key, or carry it out and store the answer."""
    key = request.headers.get(HEADER)
    if not key or request.method != "POST":
        return carry_out()
    if len(key) > LONGEST:
        raise ApiError(f"The idempotency key may be at most {LONGEST} characters long.")
    asked = (request.path, tuple(sorted(request.form.items(multi=True))))
    if stored := world.stripe.answers.get(key):
        if stored.asked != asked:
            raise ApiError(
                "Keys for idempotent requests can only be used with the same parameters they were"
                f" first used with. Try using a key other than '{key}' if you meant to execute a"
                " different request.",
                kind="idempotency_error",
            )
        response = Response(stored.body, stored.status, content_type="application/json")
        response.headers["Idempotent-Replayed"] = "true"
        return response
    response = carry_out()
    world.stripe.answers[key] = Stored(asked, response.status_code, response.get_data())
    return response
