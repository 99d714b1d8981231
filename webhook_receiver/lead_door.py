"""`POST /webhooks/leads`: lead events of platforms, signed by Standard Webhooks."""

from collections.abc import Sequence

from flask import Response, request

import clock
from db.deliveries import NewEvent
from service import standard_webhooks
from service.signatures import SignatureError
from webhook_receiver import answers
from webhook_receiver.recorder import Recorder

PATH = "/webhooks/leads"


def accept(secrets: Sequence[str], recorder: Recorder) -> Response:
    """Answer one delivery of a lead event, which `secrets` may have signed."""
    if not secrets:
        return answers.refuse_without_secrets("LEAD_WEBHOOK_SECRETS")
    if not answers.is_announced_as_json():
        return answers.refuse(415, "the Content-Type must be application/json")
    body = answers.body_of_request()
    now = clock.now()
    message_id = request.headers.get("webhook-id")
    try:
        standard_webhooks.verify(
            secrets,
            message_id=message_id,
            timestamp=request.headers.get("webhook-timestamp"),
            signatures=request.headers.get("webhook-signature"),
            body=body,
            now=now,
        )
    except SignatureError as error:
        return answers.refuse_unsigned(body, str(error))
    return answers.record_and_answer(recorder, NewEvent("leads", message_id or "", body, now))
