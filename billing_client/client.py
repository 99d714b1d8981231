"""`BillingClient`: every job of a platform, over HTTP, each a method.

The methods say what a job does; `calls/` has the rules by which it is checked and read, and says
how one is added. `async_client.py` has the same methods for asyncio. The file is long because it is
the list of jobs: each method is three lines and its docstring.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import date, datetime
from typing import Any, Self, TypeVar, cast

from billing_client import flows
from billing_client.call import Call, Page
from billing_client.calls import (
    accounts,
    catalog,
    contacts,
    credit,
    disputes,
    events,
    leads,
    payments,
    plans,
)
from billing_client.calls.accounts import UNCHANGED, Unchanged
from billing_client.errors import BillingError
from billing_client.flows import Flow, Pause
from billing_client.http import CONNECTIONS, Http
from billing_client.notice_types import Notice, NoticePage
from billing_client.results import (
    Accepted,
    Account,
    AccountStatus,
    Balance,
    Catalog,
    Charge,
    Contact,
    Dispute,
    DisputeState,
    DisputeType,
    Entitlements,
    EventType,
    Gateway,
    Hold,
    LeadState,
    LeadStatus,
    Order,
    Payment,
    PaymentState,
    Refund,
    Statement,
    Transaction,
    TransactionKind,
    VerifiedPayment,
)
from billing_client.settings import BillingSettings, settings_of
from billing_client.wire import Wire

_T = TypeVar("_T")


class BillingClient:
    """Speaks HTTP to the billing back office. One serves all threads of a process.

    Give `BillingSettings`, or their fields as keywords. An `idempotency_key` names one operation;
    by default each call has a new one. A call that is repeated under the same key does nothing more
    and returns the first result. A request without an answer is repeated under one key, so each
    call is done once; if there is still no answer, the call raises `Unreachable`, and is safe to be
    made again with its `idempotency_key`. Any call may raise `InvalidRequest` (nothing was sent),
    `Unauthorized`, `Unreachable` and other `Refused`.
    """

    def __init__(
        self,
        settings: BillingSettings | None = None,
        *,
        base_url: str | None = None,
        receiver_url: str | None = None,
        webhook_secret: str | None = None,
        api_url: str | None = None,
        api_key: str | None = None,
        timeout_seconds: float | None = None,
        retries: int | None = None,
    ) -> None:
        """Raises `InvalidRequest` if an argument is wrong."""
        chosen = settings_of(
            settings,
            base_url=base_url,
            receiver_url=receiver_url,
            webhook_secret=webhook_secret,
            api_url=api_url,
            api_key=api_key,
            timeout_seconds=timeout_seconds,
            retries=retries,
        )
        self._wire = Wire(chosen)
        self._http = Http(timeout_seconds=chosen.timeout_seconds, retries=chosen.retries)

    # Leads

    def charge_lead(
        self,
        lead_id: str,
        account: str,
        package_price_paise: int,
        source: str | None = None,
        occurred_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """Charge a lead once; return when the receiver has recorded it.

        A lead that is sent again, under any key, is not charged again. Raises
        `InvalidRequest` (nothing was sent), `Unreachable` (safe to call again with its
        `idempotency_key`), `Unauthorized`, `Refused`.
        """
        lead = {
            "lead_id": lead_id,
            "account": account,
            "package_price_paise": package_price_paise,
            "source": source,
            "occurred_at": occurred_at,
        }
        return self._run(leads.charge_lead(lead, idempotency_key))

    def charge_leads(self, leads: Iterable[Mapping[str, Any]]) -> list[Accepted | BillingError]:
        """Charge leads, each a mapping of the arguments of `charge_lead`, a few at a time.

        Returns for each lead, in order, what `charge_lead` would return or raise.
        """
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            waiting = [
                threads.submit(copy_context().run, self._charged_or_error, lead) for lead in leads
            ]
            return [one.result() for one in waiting]

    def submit_lead(
        self,
        lead_id: str,
        account: str,
        package_price_paise: int,
        source: str | None = None,
        occurred_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> LeadStatus:
        """Have a lead charged once, by the API: needs no `receiver_url` and no `webhook_secret`.

        Returns when it is recorded, with its state as it is then: mostly `pending`, and
        `wait_for_lead` has the rest. A lead that is sent again, under any key, is not charged
        again; with another account or price it is a conflict, which `conflicts` counts.
        Raises `AccountUnknown`.
        """
        lead = {
            "lead_id": lead_id,
            "account": account,
            "package_price_paise": package_price_paise,
            "source": source,
            "occurred_at": occurred_at,
        }
        return self._run(leads.submit_lead(lead, idempotency_key))

    def lead_status(self, lead_id: str) -> LeadStatus:
        """Return a lead and its state as it is now. Raises `LeadUnknown`."""
        return self._run(leads.lead_status(lead_id))

    def wait_for_lead(self, lead_id: str, timeout_seconds: float = 30) -> LeadStatus:
        """Ask for a lead until it is not pending any more; return its state then.

        It may be any other state: a refused lead has its `reason`, a parked one waits for credit.
        A lead that is unknown yet is waited for too. Asks with growing pauses, 3 seconds at most;
        each question may take its own time and retries. Raises `LeadStillPending`, which has the
        last `status`.
        """
        return self._follow(flows.wait_for_lead(lead_id, timeout_seconds))

    def list_leads(
        self,
        account: str,
        *,
        state: LeadState | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[LeadStatus]:
        """Return the leads of an account, newest first, page by page as they are read.

        `since` (inclusive) and `until` (exclusive) are aware times. Raises `AccountUnknown`, as any
        error of a list, when the first row is read.
        """
        return self._all(leads.list_leads(account, state=state, since=since, until=until))

    # Accounts

    def ensure_account(
        self,
        account: str,
        name: str,
        product: str,
        *,
        timezone: str | None = None,
        state_code: str | None = None,
        gstin: str | None = None,
        idempotency_key: str | None = None,
    ) -> Account:
        """Return the account, which is opened if it does not exist; safe to call at any time.

        One that exists is returned as it is, whatever else the arguments say: `update_account`
        changes it. The arguments are those of `create_account`. Raises `ProductMismatch` if it
        exists with another product, `AccountExists` if it exists out of this API key's reach,
        `InvalidFields`, `OutOfReach`.
        """
        return self._follow(
            flows.ensure_account(
                account,
                name,
                product,
                timezone=timezone,
                state_code=state_code,
                gstin=gstin,
                idempotency_key=idempotency_key,
            )
        )

    def create_account(
        self,
        account: str,
        name: str,
        product: str,
        *,
        timezone: str | None = None,
        overdraft_limit: int | None = None,
        low_balance: int | None = None,
        state_code: str | None = None,
        gstin: str | None = None,
        idempotency_key: str | None = None,
    ) -> Account:
        """Open an account, such as `clinic:42`, without credit.

        `timezone` is an IANA name, by default the operator's. `overdraft_limit`, in credits, is how
        far the balance may go below zero; it needs a scope of its own. At `low_balance` credits or
        fewer the balance is low, by default the catalog's number. `state_code` is the customer's
        GST state, `gstin` its GST number. Raises `AccountExists`, `InvalidFields`,
        `OutOfReach`, `MissingScope`, `IdempotencyConflict`.
        """
        return self._run(
            accounts.create_account(
                account,
                name,
                product,
                timezone=timezone,
                overdraft_limit=overdraft_limit,
                low_balance=low_balance,
                state_code=state_code,
                gstin=gstin,
                idempotency_key=idempotency_key,
            )
        )

    def update_account(
        self,
        account: str,
        *,
        name: str | Unchanged = UNCHANGED,
        timezone: str | Unchanged = UNCHANGED,
        state_code: str | Unchanged | None = UNCHANGED,
        gstin: str | Unchanged | None = UNCHANGED,
        low_balance: int | Unchanged | None = UNCHANGED,
        overdraft_limit: int | Unchanged = UNCHANGED,
    ) -> Account:
        """Set what is given of an account to these values; what is left out stays as it is.

        The values are absolute, so a repeat changes nothing. None as `gstin` removes it; as
        `state_code` it takes the state of the GST number, as `low_balance` the catalog's number.
        `overdraft_limit` needs a scope of its own. Raises `AccountUnknown`, `InvalidFields`,
        `MissingScope`, `OutOfReach`.
        """
        return self._run(
            accounts.update_account(
                account,
                name=name,
                timezone=timezone,
                state_code=state_code,
                gstin=gstin,
                low_balance=low_balance,
                overdraft_limit=overdraft_limit,
            )
        )

    def account(self, account: str) -> Account:
        """Return an account and its credit. Raises `AccountUnknown`."""
        return self._run(accounts.account(account))

    def balance(self, account: str) -> Balance:
        """Return what an account has and can spend, in credits. Raises `AccountUnknown`."""
        return self._run(accounts.balance(account))

    def list_accounts(self, *, product: str | None = None) -> Iterator[Account]:
        """Return the accounts in the API key's reach, by their references, page by page.

        `product`: only those of it. Raises `InvalidFields`.
        """
        return self._all(accounts.list_accounts(product=product))

    def history(
        self,
        account: str,
        *,
        kind: TransactionKind | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        lead_id: str | None = None,
        payment_id: str | None = None,
    ) -> Iterator[Transaction]:
        """Return the rows of an account's ledger, newest first, page by page as they are read.

        `since` (inclusive) and `until` (exclusive) are aware times, of when it happened.
        Raises `AccountUnknown`, `InvalidFields`.
        """
        return self._all(
            accounts.history(
                account,
                kind=kind,
                since=since,
                until=until,
                lead_id=lead_id,
                payment_id=payment_id,
            )
        )

    def statement(
        self,
        account: str,
        *,
        month: str | None = None,
        first_day: date | None = None,
        last_day: date | None = None,
    ) -> Statement:
        """Return opening, movements and closing of a `month` such as 2026-11, in credits.

        Or of up to 366 days, the last one included. Months and days are those of the account's time
        zone. Raises `AccountUnknown`, `InvalidFields`.
        """
        return self._run(
            accounts.statement(account, month=month, first_day=first_day, last_day=last_day)
        )

    def entitlements(self, account: str) -> Entitlements:
        """Return what an account may do now, why, and until when. Raises `AccountUnknown`."""
        return self._run(plans.entitlements(account))

    def account_status(self, account: str) -> AccountStatus:
        """Return an account's plan, credit, renewal and next grant. Raises `AccountUnknown`."""
        return self._run(plans.account_status(account))

    # Money

    def catalog(self, *, product: str | None = None) -> Catalog:
        """Return what is sold to accounts in the API key's reach, and what it costs.

        Packages, free amounts, plans, the prices of leads, the reasons for disputes. With
        `product`, only what is sold for it. Raises `InvalidFields`.
        """
        return self._run(catalog.catalog(product=product))

    def place_order(
        self,
        account: str,
        gateway: Gateway | str,
        *,
        package: str | None = None,
        amount_paise: int | None = None,
        plan: str | None = None,
        return_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> Order:
        """Open an order at a gateway, for exactly one of package, amount_paise and plan.

        The customer pays it at the gateway's checkout: `order_id` and `key_id` open Razorpay's,
        `checkout_url` is Stripe's page, which sends the customer back to `return_url`. The credit
        comes when it is paid, whether or not the customer's browser returns.
        Raises `AccountUnknown`, `InvalidFields`, `PlanRefused`, `IdempotencyConflict`,
        `GatewayUnavailable` and `OutcomeUnknown` (call again with its `idempotency_key`).
        """
        return self._run(
            payments.place_order(
                account,
                gateway,
                package=package,
                amount_paise=amount_paise,
                plan=plan,
                return_url=return_url,
                idempotency_key=idempotency_key,
            )
        )

    def order_status(self, order_id: str) -> Order:
        """Return an order as it is now, by the gateway's id. Raises `OrderUnknown`."""
        return self._run(payments.order_status(order_id))

    def verify_payment(
        self,
        order_id: str,
        payment_id: str | None = None,
        signature: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> VerifiedPayment:
        """Ask the gateway about the payment of an order; credit it if the money is there.

        For Razorpay give the `payment_id` and `signature` that its checkout hands to the browser;
        for Stripe the `order_id` alone. Credit does not depend on this call: the gateway's webhook
        brings it too, and it is credited once. If the state is `created` or `authorized`, call
        again later. Raises `OrderUnknown`, `InvalidFields` (a wrong signature), `OrderAtOdds`,
        `GatewayUnavailable`.
        """
        return self._run(
            payments.verify_payment(
                order_id, payment_id, signature, idempotency_key=idempotency_key
            )
        )

    def payment_status(self, payment_id: str, *, gateway: Gateway | str | None = None) -> Payment:
        """Return a payment with its account and its refunds.

        Raises `PaymentUnknown`, and `AmbiguousPayment` if two gateways have a payment with this id:
        `gateway` says which one is meant.
        """
        return self._run(payments.payment_status(payment_id, gateway=gateway))

    def list_payments(
        self, account: str, *, state: PaymentState | str | None = None
    ) -> Iterator[Payment]:
        """Return the payments of an account, newest first, page by page.

        Raises `AccountUnknown`.
        """
        return self._all(payments.list_payments(account, state=state))

    def refund_payment(
        self,
        payment_id: str,
        *,
        reason: str,
        amount_paise: int | None = None,
        idempotency_key: str | None = None,
    ) -> Refund:
        """Give the money of a payment back, all that is left of it or `amount_paise`.

        The payment's credit and its share of the bonus are reserved first, and taken when the money
        is paid back. `reason` is for auditors. Give a key if the call may be repeated: without one,
        each call is another refund. Raises `PaymentUnknown`, `NotRefundable`,
        `InvalidFields`, `IdempotencyConflict`, `GatewayUnavailable`.
        """
        return self._run(
            payments.refund_payment(
                payment_id,
                reason=reason,
                amount_paise=amount_paise,
                idempotency_key=idempotency_key,
            )
        )

    def refund_status(self, refund_id: str) -> Refund:
        """Return a refund as it is now. Raises `RefundUnknown`."""
        return self._run(payments.refund_status(refund_id))

    # Disputes

    def dispute_lead(
        self,
        lead_id: str,
        account: str,
        dispute_type: DisputeType | str,
        description: str,
        *,
        evidence: Any = None,
        idempotency_key: str | None = None,
    ) -> Dispute:
        """Dispute a charged lead; an operator decides whether its credit comes back.

        `evidence` is plain JSON of up to 16 KiB. Raises a `DisputeRefused` that says why the lead
        cannot be disputed: `LeadNotCharged`, `DisputeOpen`, `DisputedBefore`, `DisputeWindowOver`;
        also `AccountUnknown`, `InvalidFields`, `IdempotencyConflict`.
        """
        return self._run(
            disputes.dispute_lead(
                lead_id,
                account,
                dispute_type,
                description,
                evidence=evidence,
                idempotency_key=idempotency_key,
            )
        )

    def dispute_status(self, dispute_id: int) -> Dispute:
        """Return a dispute as it is now. Raises `DisputeUnknown`."""
        return self._run(disputes.dispute_status(dispute_id))

    def withdraw_dispute(self, dispute_id: int, *, idempotency_key: str | None = None) -> Dispute:
        """Take a pending dispute back.

        Raises `DisputeResolved`, `DisputeUnknown`, `IdempotencyConflict`.
        """
        return self._run(disputes.withdraw_dispute(dispute_id, idempotency_key=idempotency_key))

    def list_disputes(
        self, account: str, *, state: DisputeState | str | None = None
    ) -> Iterator[Dispute]:
        """Return the disputes of an account, newest first, page by page.

        Raises `AccountUnknown`.
        """
        return self._all(disputes.list_disputes(account, state=state))

    # Credit

    def place_hold(
        self,
        account: str,
        amount: int,
        *,
        expires_in_seconds: int | None = None,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> Hold:
        """Set `amount` credits aside until the hold is captured, voided or expires.

        It expires after `expires_in_seconds`, by default 900. A repeat under the same key returns
        the first hold as it was then (`replayed`).
        Raises `NotEnoughCredit`, `AccountUnknown`, `IdempotencyConflict`.
        """
        return self._run(
            credit.place_hold(
                account,
                amount,
                expires_in_seconds=expires_in_seconds,
                description=description,
                idempotency_key=idempotency_key,
            )
        )

    def hold_status(self, hold_id: str) -> Hold:
        """Return a hold as it is now. Raises `HoldUnknown`."""
        return self._run(credit.hold_status(hold_id))

    def capture_hold(
        self, hold_id: str, *, amount: int | None = None, idempotency_key: str | None = None
    ) -> Hold:
        """Charge the hold, or `amount` credits of it; the rest is free again.

        Raises `HoldFinished` if it has ended in another way or under another key, `HoldUnknown`,
        `IdempotencyConflict`.
        """
        return self._run(
            credit.capture_hold(hold_id, amount=amount, idempotency_key=idempotency_key)
        )

    def void_hold(self, hold_id: str, *, idempotency_key: str | None = None) -> Hold:
        """Release a hold and charge nothing. Raises as `capture_hold`."""
        return self._run(credit.void_hold(hold_id, idempotency_key=idempotency_key))

    def charge_credits(
        self,
        account: str,
        amount: int,
        *,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> Charge:
        """Charge `amount` credits at once. Raises as `place_hold`.

        Give a key if the call may be repeated: without one, each call is another charge.
        """
        return self._run(
            credit.charge_credits(
                account, amount, description=description, idempotency_key=idempotency_key
            )
        )

    # Contacts

    def add_contact(
        self,
        account: str,
        address: str,
        *,
        topics: Iterable[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Contact:
        """Have an address mailed about an account: all, or only these `topics`.

        `topics` are names (`balance.low`) or patterns (`balance.*`). Its reader is asked to confirm
        it, and gets receipts alone until then. Raises `AccountUnknown`, `ContactExists`,
        `TooManyContacts`, `InvalidFields`, `IdempotencyConflict`.
        """
        return self._run(
            contacts.add_contact(account, address, topics=topics, idempotency_key=idempotency_key)
        )

    def list_contacts(self, account: str) -> Iterator[Contact]:
        """Return the contacts of an account, the oldest first. Raises `AccountUnknown`."""
        return self._all(contacts.list_contacts(account))

    def remove_contact(self, account: str, contact_id: int) -> None:
        """Remove a contact, and have its address forgotten.

        Raises `ContactUnknown` if there is none, `AccountUnknown`.
        """
        self._run(contacts.remove_contact(account, contact_id))

    # What happened

    def list_events(
        self,
        *,
        after: str | None = None,
        topics: str | Iterable[str] | None = None,
        account: str | None = None,
    ) -> Iterator[Notice]:
        """Return what happened, in the order of commits, page by page, up to now.

        The notices are those that an endpoint is sent, with the same ids. They begin after the
        position `after`, the `next` of a `NoticePage`; by default with the oldest that is kept.
        `topics` are names (`balance.low`) or patterns (`balance.*`); without them, and by a
        pattern, topics of high volume are left out. To go on later, `read_events` has the position.
        Raises `EventsNotKept`, `AccountUnknown`, `InvalidFields`.
        """
        return self._all(events.list_events(after=after, topics=topics, account=account))

    def read_events(
        self,
        *,
        after: str | None = None,
        topics: str | Iterable[str] | None = None,
        account: str | None = None,
        limit: int | None = None,
    ) -> NoticePage:
        """Return a page of what `list_events` returns, and where the next one begins.

        `after="latest"` returns none, and where what happens from now on begins. `limit` is up to
        500. Keep `next` when the notices are handled: after a crash the page comes again, whole.
        Raises as `list_events`.
        """
        return self._run(
            events.read_events(after=after, topics=topics, account=account, limit=limit)
        )

    def list_event_types(self, *, topics: str | Iterable[str] | None = None) -> Iterator[EventType]:
        """Return the types of events, with the schema of their data. Raises `InvalidFields`."""
        return self._all(events.list_event_types(topics=topics))

    # The client itself

    def close(self) -> None:
        """Close the connections; also at the end of a `with` block."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, call: Call[_T]) -> _T:
        request = self._wire.request_of(call)
        return call.result(self._http.send(request), request)

    def _follow(self, flow: Flow[_T]) -> _T:
        result: Any = None
        failure: BillingError | None = None
        while True:
            try:
                step = flow.send(result) if failure is None else flow.throw(failure)
            except StopIteration as end:
                return cast(_T, end.value)
            result = failure = None
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                continue
            try:
                result = self._run(step)
            except BillingError as error:
                failure = error

    def _all(self, call: Call[Page[_T]]) -> Iterator[_T]:
        following: Call[Page[_T]] | None = call
        while following is not None:
            page = self._run(following)
            yield from page.items
            following = page.call

    def _charged_or_error(self, lead: Mapping[str, Any]) -> Accepted | BillingError:
        try:
            return self._run(leads.charge_lead(lead, None))
        except BillingError as error:
            return error
