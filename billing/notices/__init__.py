"""Who is notified of what: endpoints, contacts, fan-out, sequence, and how often is tried.

Decides; `notify/` carries, `tasks/notices/` stands between.
"""

__all__: list[str] = []
