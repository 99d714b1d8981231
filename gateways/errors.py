"""How a call to a gateway can end badly: refused, not made, or nobody knows."""

from errors import PermanentError, TransientError


class GatewayRefused(PermanentError):
    """The gateway understood and said no: the same call can never succeed. Nothing was done."""

    def __init__(
        self, gateway: str, reason: str, *, status: int | None, field: str | None = None
    ) -> None:
        """`reason` is the gateway's own description, `field` the field it names."""
        super().__init__(f"{gateway} refused: {reason}")
        self.gateway = gateway
        self.reason = reason
        self.status = status
        self.field = field


class GatewayNotFound(GatewayRefused):
    """The gateway does not know the id."""


class GatewayKeyRefused(TransientError):
    """The gateway does not accept our API key; nothing was done. Correct the key to go on."""

    def __init__(self, gateway: str, variables: str) -> None:
        """`variables` are those of the environment that hold the key."""
        super().__init__(f"{gateway} does not accept the key: check {variables}")
        self.gateway = gateway


class GatewayUnavailable(TransientError):
    """The call was not made, or was refused before anything was done (no connection, 429)."""

    def __init__(self, gateway: str, reason: str) -> None:
        super().__init__(f"{gateway} cannot be asked now: {reason}")
        self.gateway = gateway
        self.reason = reason


class OutcomeUnknown(TransientError):
    """The call may or may not have had its effect (time-out, 5xx, an unreadable answer)."""

    def __init__(self, gateway: str, reason: str) -> None:
        super().__init__(f"{gateway} gave no clear answer: {reason}")
        self.gateway = gateway
        self.reason = reason


class UnreadableAnswer(PermanentError):
    """What a gateway says of a payment or an order is invalid; names the field only."""

    def __init__(self, gateway: str, field: str, problem: str) -> None:
        """`problem` never repeats the value, which may be the payer's."""
        super().__init__(f"{gateway} cannot be understood: {field} {problem}")
        self.gateway = gateway
        self.field = field
        self.problem = problem


class UnknownGateway(PermanentError):
    """There is no gateway of this name."""

    def __init__(self, known: tuple[str, ...]) -> None:
        super().__init__(f"no such gateway: it must be one of {', '.join(known)}")


class GatewayNotConfigured(PermanentError):
    """The environment has no key for this gateway."""

    def __init__(self, gateway: str, variables: str) -> None:
        super().__init__(f"{gateway} is not set up here: set {variables}")
        self.gateway = gateway
