"""Razorpay's REST API below `/v1`, with its authentication; the rules are in the modules beside."""

import hmac

from flask import Blueprint, Response, request

from devstack.simulator import faults
from devstack.simulator.answers import answer
from devstack.simulator.razorpay import money_routes, order_routes
from devstack.simulator.razorpay.errors import ApiError, fault
from devstack.simulator.world import World


def api(world: World) -> Blueprint:
    """Return every route of the API."""
    routes = Blueprint("razorpay", __name__)

    @routes.before_request
    def authenticate() -> None:
        login = request.authorization
        if login is None or login.type != "basic" or not login.username:
            raise _unauthenticated("Authentication failed")
        if not _same(login.username, world.config.razorpay_key_id):
            raise _unauthenticated("The api key provided is invalid")
        if not _same(login.password or "", world.config.razorpay_key_secret):
            raise _unauthenticated("The api secret provided is invalid")

    @routes.errorhandler(ApiError)
    def refused(error: ApiError) -> Response:
        return error.response()

    faults.install(routes, world, fault)
    order_routes.add(routes, world)
    money_routes.add(routes, world)

    @routes.route("/<path:_anything>", methods=["GET", "POST", "PATCH", "PUT", "DELETE"])
    def unknown(_anything: str) -> Response:
        error = ApiError("The requested URL was not found on the server.", status=404)
        return answer(error.body, 404)

    return routes


def _unauthenticated(description: str) -> ApiError:
    return ApiError(description, status=401, source="NA", step="NA", reason="NA")


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(), right.encode())
