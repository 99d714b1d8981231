"""What says that a mail is not sent after all."""


class NoLongerDue(Exception):
    """What a mail would say is not so any more, or its contact does not get it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """For its row: our words, nothing of a person."""
