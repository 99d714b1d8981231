"""A sample marketplace: clinics buy credit, pay for leads, dispute bad ones, use an AI view.

A notice of billing puts a warning on the page of a clinic whose credit is low.
It has no login: a real platform takes the clinic from its session, not from the page's address.
"""

import os
import uuid

from flask import Flask, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue as Answer

from billing_client import BillingClient, BillingSettings, credits_used, require_credits
from billing_client.errors import BillingError, InvalidFields, InvalidRequest
from billing_client.flask_errors import handle_billing_errors
from billing_client.flask_notices import notices
from billing_client.notice_types import BalanceNotice

CHECKOUT_SCRIPT = os.environ.get("CHECKOUT_SCRIPT", "https://checkout.razorpay.com/v1/checkout.js")
billing = BillingClient(BillingSettings.from_environment())
app = Flask(__name__)
handle_billing_errors(app)  # what billing refuses is a 402, 404, 409 or 503, and never a bare 500
balances: dict[str, BalanceNotice] = {}  # by account; a real platform has a database


def note_balance(notice: BalanceNotice) -> None:
    balances[notice.account] = notice  # the newest: repeats and older ones do not get here


if secrets := os.environ.get("BILLING_NOTICE_SECRETS", "").split():
    app.register_blueprint(notices({"balance.*": note_balance}, secrets, path="/hooks"))


@app.errorhandler(InvalidRequest)  # such as an odd name; nothing was sent
@app.errorhandler(InvalidFields)  # such as a signature that is not the gateway's
def refuse_form(error: BillingError) -> Answer:
    return {"error": str(error)}, 400


def account_of(clinic: str) -> str:
    return f"clinic:{clinic}"  # we choose the account's reference, and it never changes


def back_to(clinic: str) -> Answer:
    return redirect(url_for("show_clinic", clinic=clinic), 303)


@app.get("/")
def welcome() -> str:
    return render_template("welcome.html")


@app.post("/clinics")
def open_clinic() -> Answer:
    clinic = request.form["clinic"]
    billing.ensure_account(account_of(clinic), request.form["name"], "clinic_leads")
    return back_to(clinic)


@app.get("/clinics/<clinic>")
def show_clinic(clinic: str) -> str:
    account = billing.account(account_of(clinic))
    leads = list(billing.list_leads(account.account))
    disputes = {one.lead_id: one for one in billing.list_disputes(account.account)}
    # `once` names what the forms of this page buy, bring and dispute: pressed twice, done once.
    known = {"account": account, "leads": leads, "disputes": disputes, "once": uuid.uuid4()}
    known["notice"] = balances.get(account.account)
    return render_template("clinic.html", clinic=clinic, **known)


@app.post("/clinics/<clinic>/top-ups")
def top_up(clinic: str) -> str:
    what, once = request.form["package"], request.form["once"]
    order = billing.place_order(account_of(clinic), "razorpay", package=what, idempotency_key=once)
    checkout = {  # the same for Razorpay's script and for the simulator's
        "key": order.key_id, "order_id": order.order_id, "amount": order.amount_paise,
        "currency": order.currency, "callback_url": url_for("paid", clinic=clinic, _external=True),
        "name": "Marketplace", "description": f"{order.credits + order.bonus_credits:,} credits",
    }  # fmt: skip
    return render_template("pay.html", clinic=clinic, checkout=checkout, script=CHECKOUT_SCRIPT)


@app.post("/clinics/<clinic>/paid")
def paid(clinic: str) -> Answer:
    # Signed by the gateway. If it never arrives, the gateway's webhook brings the credit.
    given = [request.form[f"razorpay_{name}"] for name in ("order_id", "payment_id", "signature")]
    billing.verify_payment(*given)
    return back_to(clinic)


@app.post("/clinics/<clinic>/leads")
def bring_lead(clinic: str) -> Answer:
    lead_id, rupees = request.form["lead_id"], request.form.get("package_price_rupees", -1, int)
    billing.submit_lead(lead_id, account_of(clinic), rupees * 100)  # by its id charged once
    billing.wait_for_lead(lead_id, timeout_seconds=10)  # a real platform looks later
    return back_to(clinic)


@app.post("/clinics/<clinic>/leads/<path:lead_id>/disputes")
def dispute(clinic: str, lead_id: str) -> Answer:
    what, why, once = (request.form[name] for name in ("dispute_type", "description", "once"))
    billing.dispute_lead(lead_id, account_of(clinic), what, why, idempotency_key=once)
    return back_to(clinic)


@app.post("/clinics/<clinic>/replies")
@require_credits(20, client=billing, account=account_of)
def suggest_reply(clinic: str) -> Answer:
    if not (question := request.form.get("question")):
        return {"error": f"{clinic} asked nothing"}, 400  # costs nothing
    credits_used(min(20, 5 + len(question) // 20))  # of the 20 that were held
    return {"reply": f"Thank you for asking: {question}"}
