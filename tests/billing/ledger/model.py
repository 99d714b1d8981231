"""What the ledger should do, in plain Python, for `test_machine.py` to hold it against.

Written from the rules in docs/explanation/ledger.md, not from `billing/ledger/account_book.py`, and
in another way if there is one: the balance is not stored but computed from lots and debts; a search
finds the end of a local day. A row, and the lot that it makes, is known by its account and version;
nothing here uses ids, hashes or SQL.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from billing.ledger import Kind, Posting

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
REFUND_OF_EXPIRED_DAYS = 30
LOW_BALANCE = 60
SOURCES = {
    Kind.TOP_UP: "purchase",
    Kind.BONUS: "bonus",
    Kind.GRANT: "grant",
}
"""The source of the lot that credit makes; of any other kind: goodwill."""
BURNS = ("grant", "bonus", "goodwill", "purchase")
GIVES_BACK = {Kind.LEAD_CHARGE: Kind.LEAD_REFUND, Kind.USAGE: Kind.USAGE_REFUND}

Answer = tuple[object, ...]
"""The answer to one request: ("applied", version, balance), ("repeated", ...), or the name of an
error and its fields."""


class Refused(Exception):
    """The model's answer to a request that changes nothing."""

    def __init__(self, error: str, **fields: object) -> None:
        super().__init__(error, fields)
        self.answer: Answer = (error, fields)


@dataclass
class Row:
    """A row of the ledger; `took`: lot (its row's version) -> what of it this row spent."""

    version: int
    posting: Posting
    balance_after: int
    event_at: datetime
    took: Counter[int] = field(default_factory=Counter)
    given_back: int = 0


@dataclass
class Lot:
    version: int
    source: str
    amount: int
    left: int
    expires_at: datetime

    def __lt__(self, other: "Lot") -> bool:
        """Whether it burns before the other."""
        return self._place() < other._place()

    def _place(self) -> tuple[datetime, int, int]:
        return self.expires_at, BURNS.index(self.source), self.version


@dataclass
class Hold:
    account: str
    amount: int
    key: str
    kind: Kind
    description: str
    expires_at: datetime
    life: timedelta | None
    state: str = "open"
    captured: int = 0
    finish_key: str = ""
    story: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class Account:
    ref: str
    timezone: str
    limit: int
    rows: list[Row] = field(default_factory=list)
    lots: list[Lot] = field(default_factory=list)
    debts: dict[int, int] = field(default_factory=dict)
    """Version of the charge -> what is owed of it, oldest first."""
    holds: dict[str, Hold] = field(default_factory=dict)
    alerts: list[tuple[str, int]] = field(default_factory=list)
    """The alerts about its balance, in order, with what the balance was then."""

    @property
    def balance(self) -> int:
        return sum(lot.left for lot in self.lots) - sum(self.debts.values())

    @property
    def held(self) -> int:
        return sum(hold.amount for hold in self.holds.values() if hold.state == "open")

    @property
    def available(self) -> int:
        return self.balance - self.held + self.limit

    def row(self, posting: Posting, amount: int, now: datetime) -> Row:
        row = Row(len(self.rows) + 1, posting, self.balance + amount, posting.event_at or now)
        alert = alert_between(self.balance, row.balance_after)
        if alert and not (alert == "balance.recovered" and not self.rows):
            self.alerts.append((alert, row.balance_after))
        self.rows.append(row)
        return row

    def spend(self, row: Row, amount: int) -> None:
        for lot in sorted(lot for lot in self.lots if lot.left):
            part = min(lot.left, amount)
            lot.left -= part
            row.took[lot.version] += part
            amount -= part
            if not amount:
                return
        self.debts[row.version] = amount

    def fill(self, lot: Lot) -> None:
        self.lots.append(lot)

    def settle(self) -> None:
        """Pay what is owed, the oldest first, with what there is."""
        for version in list(self.debts):
            for lot in sorted(lot for lot in self.lots if lot.left):
                part = min(lot.left, self.debts[version])
                lot.left -= part
                self.rows[version - 1].took[lot.version] += part
                self.debts[version] -= part
            if not self.debts[version]:
                del self.debts[version]

    def expire(self, now: datetime) -> bool:
        """Let go what is past its time and no open hold needs; whether anything went."""
        before = len(self.rows)
        for lot in sorted(lot for lot in self.lots if lot.left and lot.expires_at <= now):
            gone = min(lot.left, max(0, self.balance - self.held))
            if gone:
                posting = Posting(
                    self.ref, -gone, Kind.EXPIRY, "", "system:expiry", event_at=lot.expires_at
                )
                self.row(posting, -gone, now).took[lot.version] += gone
                lot.left -= gone
        return len(self.rows) > before

    def give_back(self, row: Row, charge: Row, amount: int, now: datetime) -> None:
        charge.given_back += amount
        forgiven = min(amount, self.debts.get(charge.version, 0))
        if forgiven:
            self.debts[charge.version] -= forgiven
            if not self.debts[charge.version]:
                del self.debts[charge.version]
        amount -= forgiven
        fresh = 0
        paid = [self.lot(v) for v in +charge.took if not self.wrote_off(v)]
        for lot in sorted(paid, reverse=True):
            part = min(amount, charge.took[lot.version])
            charge.took[lot.version] -= part
            amount -= part
            if lot.expires_at > now:
                lot.left += part
            elif part:
                row.took[lot.version] += part
                fresh += part
        assert amount == 0
        if fresh:
            last_day = now.astimezone(ZoneInfo(self.timezone)).date() + timedelta(
                days=REFUND_OF_EXPIRED_DAYS
            )
            ends = first_instant_after(last_day, self.timezone)
            self.fill(Lot(row.version, "goodwill", fresh, fresh, ends))
        self.settle()

    def left_of(self, charge: Row) -> int:
        """What can be given back of a charge: not what was, nor what was forgiven as debt."""
        forgiven = sum(took for v, took in charge.took.items() if self.wrote_off(v))
        return -charge.posting.amount - charge.given_back - forgiven

    def wrote_off(self, version: int) -> bool:
        return self.rows[version - 1].posting.kind is Kind.WRITE_OFF

    def lot(self, version: int) -> Lot:
        return next(lot for lot in self.lots if lot.version == version)


@dataclass
class Model:
    """All accounts, and which keys have been used."""

    accounts: dict[str, Account] = field(default_factory=dict)

    def rows(self) -> Iterator[tuple[Account, Row]]:
        for account in self.accounts.values():
            for row in account.rows:
                yield account, row

    def holds(self) -> list[Hold]:
        return [hold for account in self.accounts.values() for hold in account.holds.values()]

    def find(self, key: str) -> tuple[Account, Row] | None:
        for account, row in self.rows():
            if row.posting.idempotency_key == key:
                return account, row
        return None

    # --- posting ----------------------------------------------------------------------------

    def post(self, postings: list[Posting], now: datetime) -> list[Answer]:
        """A batch: what is refused stays out, the rest goes in, in its order."""
        known = {row.posting.idempotency_key for _, row in self.rows()}
        touched = {p.account for p in postings if p.idempotency_key not in known}
        for ref in touched & self.accounts.keys():
            self.accounts[ref].expire(now)
        answers: list[Answer] = []
        for posting in postings:
            try:
                answers.append(self._post_one(posting, known, now))
            except Refused as refused:
                answers.append(refused.answer)
        return answers

    def post_alone(self, posting: Posting, now: datetime, *, releases: Hold | None = None) -> Row:
        """One posting in a transaction that a refusal takes back."""
        with_it = copy.deepcopy(self.accounts.get(posting.account))
        known = {row.posting.idempotency_key for _, row in self.rows()}
        try:
            if with_it is not None and posting.idempotency_key not in known:
                self.accounts[posting.account].expire(now)
            if releases:
                self.accounts[posting.account].holds[releases.key].state = "captured"
            answer = self._post_one(posting, known, now, captures=releases is not None)
        except Refused:
            if with_it is not None:
                self.accounts[posting.account] = with_it
            raise
        return self.accounts[posting.account].rows[int(str(answer[1])) - 1]

    def _post_one(
        self, posting: Posting, known: set[str], now: datetime, *, captures: bool = False
    ) -> Answer:
        before = self.find(posting.idempotency_key)
        if before is not None:
            row = before[1]
            refuse_differences(posting.idempotency_key, row.posting, posting)
            return "repeated", row.version, row.balance_after
        account = self.accounts.get(posting.account)
        if account is None:
            raise Refused("UnknownAccount", account=posting.account)
        if posting.expires_at is not None and posting.expires_at <= now:
            raise Refused("InvalidPosting", field="expires_at", problem="must be in the future")
        row = self._apply(account, posting, known, now, captures=captures)
        assert account.balance == row.balance_after
        return "applied", row.version, row.balance_after

    def _apply(
        self, account: Account, posting: Posting, known: set[str], now: datetime, *, captures: bool
    ) -> Row:
        amount = posting.amount
        if amount < 0:
            available = account.balance + account.limit if captures else account.available
            if -amount > available and posting.kind is not Kind.ADJUSTMENT:
                raise Refused(
                    "InsufficientCredit",
                    account=account.ref, needed=-amount, available=available,
                )  # fmt: skip
            row = account.row(posting, amount, now)
            account.spend(row, -amount)
            return row
        if posting.reverses is not None:
            charge = self._charge(account, posting, known)
            row = account.row(posting, amount, now)
            account.give_back(row, charge, amount, now)
            return row
        owed = max(0, -account.balance)
        if posting.kind is Kind.WRITE_OFF and amount > owed:
            raise Refused("NothingToWriteOff", account=account.ref, asked=amount, debt=owed)
        row = account.row(posting, amount, now)
        source = SOURCES.get(posting.kind, "goodwill")
        account.fill(Lot(row.version, source, amount, amount, posting.expires_at or NEVER))
        account.settle()
        return row

    def _charge(self, account: Account, posting: Posting, known: set[str]) -> Row:
        found = self.find(posting.reverses or "")
        if (
            found is None
            or found[0] is not account
            or posting.reverses not in known  # charged in this very batch
            or GIVES_BACK.get(found[1].posting.kind) is not posting.kind
        ):
            raise Refused("UnknownCharge", key=posting.reverses)
        charge = found[1]
        left = account.left_of(charge)
        if posting.amount > left:
            raise Refused("ReversalTooLarge", key=posting.reverses, asked=posting.amount, left=left)
        return charge

    def reverse_by_hand(
        self, charge_key: str, amount: int | None, key: str, reason: str, now: datetime
    ) -> Row:
        """Give back `amount` of a charge, None: what is left of it."""
        found = self.find(charge_key)
        if found is None or found[1].posting.kind not in GIVES_BACK:
            raise Refused("UnknownCharge", key=charge_key)
        account, charge = found
        taken = -charge.posting.amount
        earlier = self.find(key)
        if amount is None and earlier and earlier[1].posting.reverses == charge_key:
            amount = earlier[1].posting.amount
        elif amount is None:
            amount = account.left_of(charge)
            if not amount:
                raise Refused("ReversalTooLarge", key=charge_key, asked=taken, left=0)
        kind = GIVES_BACK[charge.posting.kind]
        lead_id = charge.posting.lead_id
        posting = Posting(
            account.ref, amount, kind, key, "test", reason, lead_id=lead_id, reverses=charge_key
        )
        return self.post_alone(posting, now)

    # --- holds ------------------------------------------------------------------------------

    def place(self, asked: Hold, now: datetime) -> Hold:
        account = self.accounts.get(asked.account)
        if account is None:
            raise Refused("UnknownAccount", account=asked.account)
        before = next((hold for hold in self.holds() if hold.key == asked.key), None)
        if before is not None:
            differing = {
                name
                for name in ("account", "amount", "kind", "description", "life")
                if getattr(before, name) != getattr(asked, name)
            }
            if differing:
                differing = {"expires_in" if name == "life" else name for name in differing}
                raise Refused("IdempotencyConflict", key=asked.key, differences=differing)
        with_it = copy.deepcopy(account)
        self._end(account.holds.values(), now)
        account.expire(now)
        if before is not None:
            return before
        if asked.amount > account.available:
            self.accounts[account.ref] = with_it
            raise Refused(
                "InsufficientCredit",
                account=account.ref, needed=asked.amount, available=account.available,
            )  # fmt: skip
        asked.story.append(("placed", asked.amount))
        account.holds[asked.key] = asked
        return asked

    def capture(self, hold: Hold, amount: int | None, key: str, now: datetime) -> Hold:
        amount = hold.amount if amount is None else amount
        if not 1 <= amount <= hold.amount:
            problem = f"must be a whole number from 1 to {hold.amount}"
            raise Refused("InvalidHold", field="amount", problem=problem)
        if self._finished(hold, "captured", key, now):
            if amount != hold.captured:
                raise Refused("IdempotencyConflict", key=key, differences={"amount"})
            return hold
        posting = Posting(
            hold.account, -amount, hold.kind, f"hold:{hold.key}:capture", "test", hold.description
        )
        self.post_alone(posting, now, releases=hold)
        hold.state, hold.captured, hold.finish_key = "captured", amount, key
        hold.story.append(("captured", amount))
        if amount < hold.amount:
            hold.story.append(("released", hold.amount - amount))
        return hold

    def void(self, hold: Hold, key: str, now: datetime) -> Hold:
        if not self._finished(hold, "voided", key, now):
            hold.state, hold.finish_key = "voided", key
            hold.story.append(("voided", hold.amount))
        return hold

    def _finished(self, hold: Hold, state: str, key: str, now: datetime) -> bool:
        if hold.state == "open" and hold.expires_at <= now:
            raise Refused("HoldFinished", state="expired")
        if hold.state == "open":
            return False
        if (hold.state, hold.finish_key) != (state, key):
            raise Refused("HoldFinished", state=hold.state)
        return True

    # --- sweeps -----------------------------------------------------------------------------

    def end_holds(self, now: datetime) -> int:
        return self._end(self.holds(), now)

    def _end(self, holds: Iterable[Hold], now: datetime) -> int:
        due = [hold for hold in holds if hold.state == "open" and hold.expires_at <= now]
        for hold in due:
            hold.state = "expired"
            hold.story.append(("expired", hold.amount))
        return len(due)

    def expire_lots(self, now: datetime) -> int:
        return sum(account.expire(now) for account in self.accounts.values())


def alert_between(before: int, after: int) -> str | None:
    """The alert when a balance changes; an account's first credit has none."""
    was, is_ = (
        sum((balance > LOW_BALANCE, balance > 0, balance >= 0)) for balance in (before, after)
    )
    if is_ < was:
        return "balance.low" if is_ == 2 else (
            "balance.exhausted" if was >= 2 else "balance.in_debt"
        )  # fmt: skip
    return "balance.recovered" if is_ > was and is_ >= 2 else None


def refuse_differences(key: str, before: Posting, now: Posting) -> None:
    """Refuse a key with other content; actor and time do not count."""
    names = (
        "account", "amount", "kind", "lead_id", "payment_id", "dispute_id", "description",
        "reverses", "expires_at",
    )  # fmt: skip
    differing = {name for name in names if getattr(before, name) != getattr(now, name)}
    if differing:
        # The database does not keep until when credit was to live: named if nothing else is.
        raise Refused(
            "IdempotencyConflict",
            key=key, differences=differing - {"expires_at"} or {"expires_at"},
        )  # fmt: skip


def answer_to(request: Callable[[], object]) -> Answer:
    """What the model says to a request that is not a batch."""
    try:
        request()
    except Refused as refused:
        return refused.answer
    return ("done",)


@lru_cache
def first_instant_after(day: date, timezone: str) -> datetime:
    """The minute at which a clock on the wall stops showing `day`, found by looking."""
    zone = ZoneInfo(timezone)
    early = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
    low, high = 0, 4 * 24 * 60
    while high - low > 1:
        middle = (low + high) // 2
        if (early + timedelta(minutes=middle)).astimezone(zone).date() > day:
            high = middle
        else:
            low = middle
    return early + timedelta(minutes=high)
