"""The largest amount of credit, and money as people read it. Elsewhere money is whole paise."""

MAX_CREDITS = 10**12
"""Largest amount of one posting, in credits: every sum stays far below PostgreSQL's bigint."""


def rupees(paise: int) -> str:
    """Return an amount of zero or more in rupees as India writes it: ₹1,00,000, ₹1,000.50."""
    whole, rest = divmod(paise, 100)
    return f"₹{grouped(whole)}" + (f".{rest:02d}" if rest else "")


def grouped(number: int) -> str:
    """Return a whole number as India writes it: 1,00,000, -12,345."""
    digits = str(abs(number))
    head, tail = digits[:-3], digits[-3:]
    groups = [tail]
    while head:  # lakhs and crores: groups of two before the last three digits
        head, group = head[:-2], head[-2:]
        groups.insert(0, group)
    return ("-" if number < 0 else "") + ",".join(groups)
