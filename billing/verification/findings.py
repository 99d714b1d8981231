"""The findings of a verification, in bounded memory and a stable order."""

from dataclasses import dataclass

MOST_BREACHES = 10_000
"""Further breaches are only counted: books this broken are not repaired row by row."""


@dataclass(frozen=True, slots=True)
class Breach:
    """An invariant that does not hold, and its place."""

    invariant: str
    account: str
    detail: str
    version: int | None = None
    """The broken ledger row, if the walk over the rows found it. Only the first of each account
    counts, since the later ones may follow from it."""


class Findings:
    """Collects breaches in any order, from several processes."""

    def __init__(self) -> None:
        self.more = 0
        """Number of breaches beyond `MOST_BREACHES`."""
        self._of_sets: list[Breach] = []
        self._first_rows: dict[str, Breach] = {}

    def add(self, breach: Breach) -> None:
        """Keep a breach, unless an earlier row of its account is already known to be broken."""
        if breach.version is None:
            if self._has_room():
                self._of_sets.append(breach)
            return
        known = self._first_rows.get(breach.account)
        if known is None:
            if self._has_room():
                self._first_rows[breach.account] = breach
        elif breach.version < (known.version or 0):
            self._first_rows[breach.account] = breach

    def breaches(self) -> list[Breach]:
        """Return the kept breaches: of set checks by invariant, then broken rows by account."""
        of_sets = sorted(self._of_sets, key=lambda b: (b.invariant, b.account, b.detail))
        return of_sets + [self._first_rows[account] for account in sorted(self._first_rows)]

    def _has_room(self) -> bool:
        if len(self._of_sets) + len(self._first_rows) < MOST_BREACHES:
            return True
        self.more += 1
        return False
