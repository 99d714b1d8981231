"""The rules for texts that are recorded, and the words for fields that break a rule.

A recorded text holds no control characters: PostgreSQL cannot store NUL, and the content hashes
join fields by line feeds, which is unambiguous only while no field holds one. It holds no lone
surrogates, which cannot be written as UTF-8. It holds no invisible characters that change what a
reader sees: a bidirectional override shows an auditor another text than is on record, a line
separator splits a line for some readers only, and a zero-width space makes two keys that look
alike. The zero-width joiner and non-joiner (U+200D, U+200C) are allowed: scripts of India need
them.
"""

import re

from pydantic import AfterValidator, ValidationError

REF_MAX_LENGTH = 100
ID_MAX_LENGTH = 200
KEY_MAX_LENGTH = 255
DESCRIPTION_MAX_LENGTH = 1_000

_PLAIN_ASCII = re.compile("[!-~][ -~]*").fullmatch
_CONTROL_OR_SURROGATE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
DISGUISES = "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff"
"""The invisible characters that are refused, for a character class of `re`."""
_DISGUISE = re.compile(f"[{DISGUISES}]")


def problem_with(value: object, *, max_length: int, may_be_empty: bool = False) -> str | None:
    """Return what is wrong with `value` as a recorded text, or None if nothing is."""
    if type(value) is str and len(value) <= max_length and _PLAIN_ASCII(value):
        return None  # nearly every text, at the cost of one match
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


def recordable(max_length: int, *, may_be_empty: bool = False) -> AfterValidator:
    """Return the validator of a pydantic text field whose value is recorded, or looked up.

    Write `Annotated[str, recordable(ID_MAX_LENGTH)]`. PostgreSQL refuses even to look for some
    texts; a task that sends it one fails on every retry.
    """

    def check(value: str) -> str:
        problem = problem_with(value, max_length=max_length, may_be_empty=may_be_empty)
        if problem:
            raise ValueError(problem)
        return value

    return AfterValidator(check)


def field_problems(error: ValidationError, *, whole: str = "body") -> list[tuple[str, str]]:
    """Return each field that failed, as a dotted path, and its problem.

    `whole` is the name for what was validated as a whole. No problem repeats a value: it may be
    personal data.
    """
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return [
        (
            ".".join(map(str, problem["loc"])) or whole,
            problem["msg"].removeprefix("Value error, "),
        )
        for problem in problems
    ]


def validation_problems(error: ValidationError) -> str:
    """Return every field's problem in one line, without its value: `data.id: must be ...; ...`."""
    return "; ".join(f"{field}: {problem}" for field, problem in field_problems(error))
