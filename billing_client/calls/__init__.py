"""The operations of the back office as `Call`s: one module a resource, no I/O.

HOW TO ADD AN OPERATION (a route that the API has and the client has not):

1. `results/RESOURCE.py`: the frozen dataclass of its answer, with the field names of the OpenAPI
   document; a state is an `OpenEnum`. Name both in `results/__init__.py` and in `__init__.py`.
2. `calls/RESOURCE.py`: a function that checks the arguments by the rules of the server
   (`checks.py`; `InvalidRequest` names the field) and returns a `Call[Result]` by `get`, `post`,
   `patch` or `list_of` of `call.py`. Its route is the path as the OpenAPI document has it.
3. A problem type that is new: its class in `errors.py` and its line in `refusals.py`.
4. `client.py`: a method of three lines with the docstring for callers (effect, units, raises), and
   the same name and signature in `async_client.py`.
5. `tests/billing_client/jobs.py`: its line in the table that every client is driven through.

`tests/billing_client/test_routes.py` fails while a route has no method, or a method no route.
An operation of several calls, or one that waits, is a generator in `flows.py`.
"""
