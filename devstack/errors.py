"""The one error of the development stack, printed as it is and never as a traceback."""


class DevstackError(Exception):
    """The stack cannot start or go on; the message says what is wrong and what to do."""
