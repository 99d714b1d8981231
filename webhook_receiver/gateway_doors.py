"""`POST /webhooks/razorpay` and `/webhooks/stripe`: what the payment gateways tell.

A delivery with a good signature is recorded and answered 2xx whatever it holds and however it is
announced: a gateway switches a webhook off that refuses for a day, and no later payment would be
heard of.
"""

import re
from collections.abc import Sequence
from hashlib import sha256

from flask import Response, request

import clock
from db.inbox import NewEvent
from gateways.razorpay import webhooks as razorpay_webhooks
from gateways.stripe import webhooks as stripe_webhooks
from service.signatures import SignatureError
from webhook_receiver import doors
from webhook_receiver.recorder import Recorder

RAZORPAY_PATH = "/webhooks/razorpay"
STRIPE_PATH = "/webhooks/stripe"

_can_be_kept = re.compile("[!-~]{1,255}").fullmatch


def accept_razorpay(secrets: Sequence[str], recorder: Recorder) -> Response:
    """Answer one delivery of Razorpay's; its id is in a header, which is not signed."""
    if not secrets:
        return doors.refuse_without_secrets("RAZORPAY_WEBHOOK_SECRETS")
    body = doors.body_of_request()
    try:
        razorpay_webhooks.verify(
            secrets, body=body, signature=request.headers.get("X-Razorpay-Signature")
        )
    except SignatureError as error:
        return _refuse(body, error)
    event_id = _event_id(request.headers.get("X-Razorpay-Event-Id"), body)
    return doors.record_and_answer(recorder, NewEvent("razorpay", event_id, body, clock.now()))


def accept_stripe(secrets: Sequence[str], recorder: Recorder) -> Response:
    """Answer one delivery of Stripe's; its id is in the signed body."""
    if not secrets:
        return doors.refuse_without_secrets("STRIPE_WEBHOOK_SECRETS")
    body = doors.body_of_request()
    now = clock.now()
    try:
        stripe_webhooks.verify(
            secrets, body=body, header=request.headers.get("Stripe-Signature"), now=now
        )
    except SignatureError as error:
        return _refuse(body, error)
    event_id = _event_id(stripe_webhooks.event_id(body), body)
    return doors.record_and_answer(recorder, NewEvent("stripe", event_id, body, now))


def _refuse(body: bytes, error: SignatureError) -> Response:
    if not doors.is_announced_as_json():
        return doors.refuse(415, f"{error}; and the Content-Type must be application/json")
    return doors.refuse_unsigned(body, str(error))


def _event_id(given: str | None, body: bytes) -> str:
    """Return the gateway's id of the event, or one made of the body where it cannot be kept."""
    if given is not None and _can_be_kept(given):
        return given
    return f"sha256:{sha256(body).hexdigest()}"
