"""The rules for texts: what is recorded or looked up, and what may name something.

Three rules, each stricter than the one before:

- `problem_with`: a text that can be stored, and looked for. It holds no control characters:
  PostgreSQL cannot store NUL, and the content hashes join fields by line feeds, which is
  unambiguous only while no field holds one. It holds no lone surrogates, which cannot be written as
  UTF-8. It holds no invisible characters that change what a reader sees: a bidirectional override
  shows an auditor another text than is on record, a line separator splits a line for some readers
  only. The ledger checks each posting by it, lookups check what they are asked for, and prose (a
  description, a reason) needs no more.
- `problem_with_identity`: a new id, reference or name. Two of them that look the same must be the
  same: nothing that is not seen (`IGNORABLE`), no blank but the space and none at an end, and
  Unicode's normal form C. The text is refused instead of normalised: what its sender knows it by
  is what we know it by. What is on record is looked up by the rule above.

The zero-width joiner and non-joiner (U+200D, U+200C) are allowed: scripts of India need them. In a
name they stand only where a script needs them, since at any other place they are not seen.
"""

import re
import unicodedata

from pydantic import AfterValidator, ValidationError

from service.disclosure import fingerprint

REF_MAX_LENGTH = 100
ID_MAX_LENGTH = 200
KEY_MAX_LENGTH = 255
DESCRIPTION_MAX_LENGTH = 1_000

_PLAIN_ASCII = re.compile("[!-~][ -~]*").fullmatch
_PLAIN_IDENTITY = re.compile("[!-~](?:[ -~]*[!-~])?").fullmatch
_CONTROL_OR_SURROGATE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
DISGUISES = "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff"
"""The invisible characters that no text holds, for a character class of `re`."""
_DISGUISE = re.compile(f"[{DISGUISES}]")
IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Default_Ignorable_Code_Point of the Unicode Character Database 16.0 (DerivedCoreProperties.txt),
without U+200C and U+200D, for a character class of `re`: nothing is shown for them. Unassigned code
points that Unicode keeps for such characters are among them, so that the list is complete for
later versions."""
_IGNORABLE = re.compile(f"[{IGNORABLE}\ufff9-\ufffb]")
"""With the interlinear annotations, which are not shown either."""
_JOINER = re.compile("[\u200c\u200d]")
_VIRAMA = 9
"""The canonical combining class of the signs that take a consonant's vowel away."""
_BLANK = re.compile("[\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u2800\u3000]")
"""Each character of the categories Zs, Zl and Zp but the space, and the empty Braille pattern."""


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


def problem_with_identity(value: object, *, max_length: int) -> str | None:
    """Return what is wrong with `value` as a new id, reference or name; None: nothing."""
    if type(value) is str and len(value) <= max_length and _PLAIN_IDENTITY(value):
        return None  # nearly every text, at the cost of one match
    problem = problem_with(value, max_length=max_length)
    if problem is not None:
        return problem
    return _problem_with_looks(str(value))


def _problem_with_looks(value: str) -> str | None:
    """Return how `value` could look like another text; None: it could not."""
    if value != value.strip(" "):
        return "must not begin or end with a space"
    if hidden := _IGNORABLE.search(value):
        return f"must not hold U+{ord(hidden[0]):04X}, which is not seen"
    for joiner in _JOINER.finditer(value):
        if not _is_needed(joiner.start(), value):
            return (
                f"must not hold U+{ord(joiner[0]):04X} but beside a virama or between Arabic"
                " letters: elsewhere it is not seen"
            )
    if blank := _BLANK.search(value):
        return f"must not hold U+{ord(blank[0]):04X}: the only blank is the space, U+0020"
    if not unicodedata.is_normalized("NFC", value):
        return "must be in Unicode's normal form C (NFC): normalise it before you send it"
    return None


def _is_needed(place: int, value: str) -> bool:
    """Return whether a joiner changes what is seen (RFC 5892, A.1 and A.2).

    The virama may also follow it, as in Bengali and Kannada (Unicode Standard, 12.2 and 12.8).
    """
    beside = value[max(place - 1, 0) : place], value[place + 1 : place + 2]
    if any(letter and unicodedata.combining(letter) == _VIRAMA for letter in beside):
        return True
    return all(letter and unicodedata.bidirectional(letter) == "AL" for letter in beside)


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


def identity(max_length: int) -> AfterValidator:
    """Return the validator of a pydantic text field that is a new id, reference or name.

    A field that is only looked up is `recordable`: an id on record may be older than the rule.
    """

    def check(value: str) -> str:
        if problem := problem_with_identity(value, max_length=max_length):
            raise ValueError(problem)
        return value

    return AfterValidator(check)


def field_problems(
    error: ValidationError, *, whole: str = "body", for_log: bool = False
) -> list[tuple[str, str]]:
    """Return each field that failed, as a dotted path, and its problem.

    `whole` is the name for what was validated as a whole. No problem repeats a value: it may be
    personal data. The name of an unknown field is the sender's own text: `for_log` shows it by
    length and digest, else it is cut.
    """
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return [
        (
            ".".join(_parts(problem["loc"], problem["type"], for_log=for_log)) or whole,
            problem["msg"].removeprefix("Value error, "),
        )
        for problem in problems
    ]


def validation_problems(error: ValidationError) -> str:
    """Return every field's problem in one line, for logs and `last_error`.

    It repeats nothing that was sent: `data.id: must be ...; data.(7 characters, sha256:...): ...`.
    """
    problems = field_problems(error, for_log=True)
    return "; ".join(f"{field}: {problem}" for field, problem in problems)


def _parts(loc: tuple[int | str, ...], kind: str, *, for_log: bool) -> list[str]:
    parts = [str(part) for part in loc]
    if kind == "extra_forbidden" and parts:
        name = parts[-1]
        parts[-1] = fingerprint(name) if for_log else shortened(name)
    return parts


def shortened(value: str) -> str:
    """Return what a sender wrote as it may be repeated to that sender: short, and printable."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in value[:_MOST_REPEATED])
    return clean if len(value) <= _MOST_REPEATED else f"{clean}..."


_MOST_REPEATED = 100
