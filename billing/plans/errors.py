"""Errors of plans, and of orders for plans and credit."""

from errors import InvalidField, PermanentError


class PlanRefused(PermanentError):
    """An account cannot have a year of a plan; nothing was changed."""

    def __init__(self, account: str, reason: str) -> None:
        todo = _WHAT_TO_DO[reason].format(account=account)
        super().__init__(f"{account}: {reason.replace('_', ' ')}: {todo}; nothing was changed")
        self.account = account
        self.reason = reason
        """A key of `_WHAT_TO_DO`."""


class InvalidPlanYear(InvalidField):
    """A field of a year that an operator adds to a plan does not make sense."""


class InvalidOrder(InvalidField):
    """A field of an order does not make sense."""


_WHAT_TO_DO = {
    "plan_bought_already": "`billing plans renew {account}` adds a year",
    "no_plan_to_renew": "`billing plans activate {account} --plan NAME` begins one",
    "renewal_of_another_plan": "`billing plans show {account}` shows which plan it has",
    "plan_not_in_catalog": "put the plan and its renewal into [plans] of the catalog",
}
