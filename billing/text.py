"""What a text that becomes part of the record may hold.

Control characters are refused everywhere: NUL cannot be stored by PostgreSQL, and the content
hashes join fields by line feeds, which is unambiguous only while no field holds one. Lone
surrogates cannot be written as UTF-8. Characters that nobody sees but that change what is seen are
refused too: a bidirectional override shows an auditor another text than is on record, a line
separator splits a line for some readers only, and a zero-width space makes two keys that look
alike. The zero-width joiner and non-joiner (U+200D, U+200C) stay: scripts of India need them.
"""

import re

REF_MAX_LENGTH = 100
ID_MAX_LENGTH = 200
KEY_MAX_LENGTH = 255
DESCRIPTION_MAX_LENGTH = 1_000

_PLAIN_ASCII = re.compile("[!-~][ -~]*").fullmatch
_CONTROL_OR_SURROGATE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
DISGUISES = "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff"
"""What is not seen and changes what is seen, for a character class of `re`."""
_DISGUISE = re.compile(f"[{DISGUISES}]")


def problem_with(value: object, *, max_length: int, may_be_empty: bool = False) -> str | None:
    """Return what is wrong with `value` as a recorded text, or None where nothing is."""
    if type(value) is str and len(value) <= max_length and _PLAIN_ASCII(value):
        return None  # nearly every text there is, in one look
    if not isinstance(value, str):
        return f"must be text, not {type(value).__name__}"
    if not value.strip() and not (may_be_empty and not value):
        return "must not be empty"
    if len(value) > max_length:
        return f"must be at most {max_length} characters, not {len(value)}"
    if _CONTROL_OR_SURROGATE.search(value):
        return "must not hold control characters or lone surrogates"
    hidden = _DISGUISE.search(value)
    return f"must not hold U+{ord(hidden[0]):04X}, which disguises the rest" if hidden else None
