"""The errors of notices."""

from errors import InvalidField, NotFound, PermanentError


class InvalidEndpoint(InvalidField):
    """A field of an endpoint is invalid."""


class UnknownEndpoint(NotFound):
    """No endpoint has this id, or it was removed."""

    def __init__(self, endpoint_id: int) -> None:
        super().__init__(f"unknown endpoint {endpoint_id}: see `billing notices endpoints list`")
        self.endpoint_id = endpoint_id


class UnknownNotice(NotFound):
    """No notice has this id."""

    def __init__(self, notice_id: int) -> None:
        super().__init__(f"unknown notice ntc_{notice_id}: see `billing notices list`")
        self.notice_id = notice_id


class EndpointIsOff(PermanentError):
    """Nothing is sent to this endpoint, so nothing is replayed to it either."""

    def __init__(self, endpoint_id: int, reason: str | None) -> None:
        super().__init__(
            f"endpoint {endpoint_id} is off ({reason or 'no reason'}): switch it on with"
            f" `billing notices endpoints enable {endpoint_id}`, then replay"
        )
        self.endpoint_id = endpoint_id


class EndpointBusy(PermanentError):
    """Calls to the endpoint are under way, as many as there may be."""

    def __init__(self, endpoint_id: int) -> None:
        super().__init__(
            f"as many calls to endpoint {endpoint_id} are under way as there may be: try again in"
            " a few seconds"
        )
        self.endpoint_id = endpoint_id


class NotPlacedYet(PermanentError):
    """The notice has no position yet: nothing can be sent of it."""

    def __init__(self, notice_id: int) -> None:
        super().__init__(
            f"notice ntc_{notice_id} has no position yet, or a newer one replaced it: is the"
            " process `notices` running?"
        )
        self.notice_id = notice_id


class InvalidContact(InvalidField):
    """The address or the topics of a contact make no sense; `field` says which.

    Neither this nor the other errors about contacts repeat an address: errors are logged.
    """


class ContactExists(PermanentError):
    """The account has this address already, in whatever capitals."""

    def __init__(self, contact_id: int) -> None:
        super().__init__(
            f"the address is already contact {contact_id} of this account: remove that one first"
            " to change its topics"
        )
        self.contact_id = contact_id


class TooManyContacts(PermanentError):
    """An account has or was given as many contacts as it may, or an address was asked too often."""

    def __init__(
        self, problem: str, advice: str = "remove contacts that are no longer needed, or wait a day"
    ) -> None:
        super().__init__(f"{problem}: {advice}")


class UnknownContact(NotFound):
    """No contact has this id, it was removed, or it is another account's."""

    def __init__(self, contact_id: int) -> None:
        super().__init__(f"unknown contact {contact_id}: `billing notices contacts list` has them")
        self.contact_id = contact_id
