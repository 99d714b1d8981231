"""`POST /webhooks/razorpay` and `/webhooks/stripe`: the payment gateways' events.

A delivery with a good signature is recorded and answered 2xx, whatever it holds and whatever its
content type: a gateway switches off a webhook that refuses for a day, and no later payment would
be reported.
"""

import re
from collections.abc import Sequence
from hashlib import sha256

from flask import Response, request

import clock
from billing.payments import GatewayName
from db.deliveries import NewEvent
from gateways import registry
from service.signatures import SignatureError
from webhook_receiver import answers
from webhook_receiver.recorder import Recorder

PATHS: dict[GatewayName, str] = {name: f"/webhooks/{name}" for name in registry.NAMES}

_can_be_kept = re.compile("[!-~]{1,255}").fullmatch


def accept(gateway: GatewayName, secrets: Sequence[str], recorder: Recorder) -> Response:
    """Answer one delivery of a gateway, which one of `secrets` must have signed."""
    if not secrets:
        return answers.refuse_without_secrets(secrets_variable(gateway))
    body, now, webhooks = answers.body_of_request(), clock.now(), registry.webhooks(gateway)
    try:
        webhooks.verify(secrets, body=body, headers=request.headers, now=now)
    except SignatureError as error:
        return _refuse(body, error)
    event_id = _event_id(webhooks.event_id(body, request.headers), body)
    return answers.record_and_answer(recorder, NewEvent(gateway, event_id, body, now))


def secrets_variable(gateway: GatewayName) -> str:
    """Return the setting that a gateway's door needs."""
    return f"{gateway.upper()}_WEBHOOK_SECRETS"


def _refuse(body: bytes, error: SignatureError) -> Response:
    if not answers.is_announced_as_json():
        return answers.refuse(415, f"{error}; and the Content-Type must be application/json")
    return answers.refuse_unsigned(body, str(error))


def _event_id(given: str | None, body: bytes) -> str:
    """Return the gateway's id of the event, or the digest of the body if the id cannot be kept."""
    if given is not None and _can_be_kept(given):
        return given
    return f"sha256:{sha256(body).hexdigest()}"
