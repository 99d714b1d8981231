"""What a verification found: collected in bounded memory, in an order that does not change."""

from dataclasses import dataclass

MOST_BREACHES = 10_000
"""Beyond these only their number is kept: books this broken are not mended row by row."""


@dataclass(frozen=True, slots=True)
class Breach:
    """An invariant that does not hold, and where."""

    invariant: str
    account: str
    detail: str
    version: int | None = None
    """The ledger row at fault, where the walk over the rows found it; of each account the first
    such row counts, since whatever follows it may be its consequence."""


class Findings:
    """Takes breaches in any order, from several processes."""

    def __init__(self) -> None:
        self.more = 0
        """How many were found beyond `MOST_BREACHES`."""
        self._of_sets: list[Breach] = []
        self._first_rows: dict[str, Breach] = {}

    def add(self, breach: Breach) -> None:
        """Keep a breach, unless an earlier row of its account is known to be broken."""
        if breach.version is None:
            if self._is_room():
                self._of_sets.append(breach)
            return
        known = self._first_rows.get(breach.account)
        if known is None:
            if self._is_room():
                self._first_rows[breach.account] = breach
        elif breach.version < (known.version or 0):
            self._first_rows[breach.account] = breach

    def breaches(self) -> list[Breach]:
        """Return what was kept: set-wise breaches by invariant, then broken rows by account."""
        of_sets = sorted(self._of_sets, key=lambda b: (b.invariant, b.account, b.detail))
        return of_sets + [self._first_rows[account] for account in sorted(self._first_rows)]

    def _is_room(self) -> bool:
        if len(self._of_sets) + len(self._first_rows) < MOST_BREACHES:
            return True
        self.more += 1
        return False
