"""Stripe's API below `/stripe/v1`, with its authentication; the rules are in the modules beside."""

import hmac
from collections.abc import Callable

from flask import Blueprint, Response, request

from devstack.simulator import faults
from devstack.simulator.answers import answer
from devstack.simulator.stripe import expanding, forms, idempotency, lists, money, sessions
from devstack.simulator.stripe.errors import ApiError, fault, missing
from devstack.simulator.stripe.store import Entity
from devstack.simulator.world import World

KINDS = {
    "checkout/sessions": ("sessions", "checkout.session"),
    "payment_intents": ("intents", "payment_intent"),
    "charges": ("charges", "charge"),
    "refunds": ("refunds", "refund"),
    "disputes": ("disputes", "dispute"),
    "events": ("events", "event"),
}
"""Path -> where the store keeps the objects, and what Stripe calls one."""
FILTERS = ("payment_intent", "charge", "status", "type")


def api(world: World) -> Blueprint:
    """Return every route of the API."""
    routes = Blueprint("stripe", __name__)

    @routes.before_request
    def authenticate() -> None:
        login = request.authorization
        key = login and (login.token if login.type == "bearer" else login.username)
        if not key:
            raise ApiError("You did not provide an API key.", status=401)
        if not hmac.compare_digest(key.encode(), world.config.stripe_api_key.encode()):
            raise ApiError(f"Invalid API Key provided: {key[:7]}***", status=401)

    @routes.errorhandler(ApiError)
    def refused(error: ApiError) -> Response:
        return error.response()

    @routes.after_request
    def name(response: Response) -> Response:
        response.headers["Request-Id"] = world.chance.id("req")
        return response

    faults.install(routes, world, fault)
    _reading(routes, world)
    _sessions(routes, world)
    _money(routes, world)

    @routes.route("/<path:path>", methods=["GET", "POST", "DELETE"])
    def unknown(path: str) -> Response:
        raise ApiError(f"Unrecognized request URL ({request.method}: /v1/{path}).", status=404)

    return routes


def object_of(world: World, path: str, entity_id: str) -> Entity:
    """Return an object by the path of its kind and its id; raises `ApiError`."""
    name, title = KINDS[path]
    found: dict[str, Entity] = getattr(world.stripe, name)
    if entity_id not in found:
        raise missing(title, entity_id, "id")
    return found[entity_id]


def _reading(routes: Blueprint, world: World) -> None:
    for path in KINDS:
        routes.add_url_rule(f"/{path}", f"list {path}", _lister(world, path))
        routes.add_url_rule(f"/{path}/<entity_id>", f"fetch {path}", _fetcher(world, path))


def _lister(world: World, path: str) -> Callable[[], Response]:
    def list_objects() -> Response:
        found = getattr(world.stripe, KINDS[path][0]).values()
        if path == "events" and (delivered := request.args.get("delivery_success")):
            taken = {d["event_id"] for d in world.courier.deliveries if d["state"] == "taken"}
            found = [event for event in found if (event["id"] in taken) == (delivered == "true")]
        filters = {name: request.args.get(name) for name in FILTERS}
        return answer(lists.page(found, f"/v1/{path}", **filters), indent=2)

    return list_objects


def _fetcher(world: World, path: str) -> Callable[[str], Response]:
    def fetch(entity_id: str) -> Response:
        found = expanding.as_asked(world, object_of(world, path, entity_id))
        return answer(found, indent=2)

    return fetch


def _sessions(routes: Blueprint, world: World) -> None:
    @routes.post("/checkout/sessions")
    def create_session() -> Response:
        page_url = f"{request.host_url.rstrip('/')}/stripe/checkout"
        return _once(world, lambda: sessions.create(world, forms.read(), page_url=page_url))

    @routes.post("/checkout/sessions/<entity_id>/expire")
    def expire_session(entity_id: str) -> Response:
        session = object_of(world, "checkout/sessions", entity_id)
        return _once(world, lambda: sessions.expire(world, session))

    @routes.get("/checkout/sessions/<entity_id>/line_items")
    def line_items(entity_id: str) -> Response:
        session = object_of(world, "checkout/sessions", entity_id)
        items = world.stripe.line_items[session["id"]]
        url = f"/v1/checkout/sessions/{entity_id}/line_items"
        content = {"object": "list", "data": items, "has_more": False, "url": url}
        return answer(content, indent=2)


def _money(routes: Blueprint, world: World) -> None:
    @routes.post("/payment_intents/<entity_id>/capture")
    def capture_intent(entity_id: str) -> Response:
        intent = object_of(world, "payment_intents", entity_id)
        return _once(world, lambda: sessions.capture(world, intent))

    @routes.post("/refunds")
    def create_refund() -> Response:
        return _once(world, lambda: money.refund(world, forms.read()))

    @routes.post("/disputes/<entity_id>/close")
    def close_dispute(entity_id: str) -> Response:
        dispute = object_of(world, "disputes", entity_id)
        return _once(world, lambda: money.close_dispute(world, dispute, "lost"))

    def edit(path: str, entity_id: str) -> Entity:
        entity = object_of(world, path, entity_id)
        entity["metadata"] = entity["metadata"] | forms.metadata(forms.read())
        return entity

    for path in ("payment_intents", "charges", "refunds", "disputes", "checkout/sessions"):
        routes.add_url_rule(
            f"/{path}/<entity_id>",
            f"edit {path}",
            lambda entity_id, path=path: _once(world, lambda: edit(path, entity_id)),
            methods=["POST"],
        )


def _once(world: World, carry_out: Callable[[], Entity]) -> Response:
    return idempotency.once(world, lambda: answer(carry_out(), indent=2))
