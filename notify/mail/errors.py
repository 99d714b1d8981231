"""How a mail can fail. No message repeats an address, a name or what a mail server answered."""

from errors import PermanentError, TransientError


class MailNotNow(TransientError):
    """The server could not be reached or did not take the mail now (4xx): it is tried again."""


class MailRefused(PermanentError):
    """The server refused this mail (5xx), or can never take it: it is dead."""


class UnsafeMail(MailRefused):
    """A fact cannot stand in a mail, such as an address with a line end: it is dead."""
