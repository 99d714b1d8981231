"""Money as people read it; everywhere else it is whole paise."""


def rupees(paise: int) -> str:
    """Return an amount of nought or more in rupees as India writes it: ₹1,00,000, ₹1,000.50."""
    whole, rest = divmod(paise, 100)
    digits = str(whole)
    head, tail = digits[:-3], digits[-3:]
    groups = [tail]
    while head:  # lakhs and crores: groups of two before the last three digits
        head, group = head[:-2], head[-2:]
        groups.insert(0, group)
    return f"₹{','.join(groups)}" + (f".{rest:02d}" if rest else "")
