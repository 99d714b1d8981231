"""The whole Celery configuration, each setting with its reason.

The work itself never depends on a message: it is a row in PostgreSQL before a message exists,
and `tasks.inbox.sweep` finds what no worker finished. The settings below make messages fast and
keep workers alive; none of them is needed for nothing to be lost.
"""

from kombu.entity import Exchange, Queue

import settings
from service import redis_url

# Not REDIS_URL itself: Celery would verify no certificate, and knows other words for the rest.
_broker = redis_url.celery_broker(settings.get().redis, timeout_seconds=5)
broker_url = _broker.url
broker_user = _broker.user
broker_password = _broker.password
broker_use_ssl = _broker.use_ssl
broker_failover_strategy = redis_url.stay_with_the_first
imports = (
    "tasks.disputes.door",
    "tasks.drain",
    "tasks.leads.door",
    "tasks.leads.release",
    "tasks.ledger",
    "tasks.notices.deliver",
    "tasks.notices.mail",
    "tasks.payments.inquiry",
    "tasks.plans.enforcement",
    "tasks.plans.grants",
    "tasks.retention",
    "tasks.plumbing.notice_nudges",
    "tasks.plumbing.tick_marks",
    "tasks.returns.door",
    "tasks.returns.inquiry",
)

# Messages: plain JSON, so that any Celery app can send and nothing can be unpickled.
task_serializer = "json"
accept_content = ["json"]
# No result backend: the outcome of a task is the row it finished.
task_ignore_result = True

# Queues are plain lists on Redis. A message is routed by the queue's name alone: a named exchange
# whose binding is gone (FLUSHALL) would make the broker discard it.
# Each is bound to an exchange of its own name: by default Celery binds all five to the default
# queue's, and a sender that names that one (kombu's SimpleQueue does) reaches every queue at once.
task_queues = [
    Queue(name, Exchange(name), routing_key=name)
    for name in ("leads", "payments", "refunds", "schedule", "notices")
]
task_default_queue = "leads"
# A misspelt queue name is an error at the sender, not a list that nobody reads.
task_create_missing_queues = False
_TASKS_BY_QUEUE = {
    "leads": ("tasks.leads.charge", "tasks.leads.charge_many"),
    "payments": ("tasks.payments.ask",),
    "refunds": ("tasks.refunds.ask", "tasks.refunds.request", "tasks.disputes.open"),
    "schedule": (
        "tasks.inbox.sweep",
        "tasks.leads.recover",
        # Not behind the backlog of "leads", which may be long when it matters.
        "tasks.leads.release",
        "tasks.disputes.score",
        "tasks.grants.grant",
        "tasks.renewals.enforce",
        "tasks.ledger.expire",
        "tasks.ledger.check",
        "tasks.retention.blank",
    ),
    # Of a process of its own (Procfile): a platform that hangs must not keep leads from a worker.
    "notices": ("tasks.notices.deliver", "tasks.notices.mail"),
}
task_routes = {task: {"queue": queue} for queue, tasks in _TASKS_BY_QUEUE.items() for task in tasks}

# Acknowledge when done: a worker that dies hands the message on. Every task may run twice.
task_acks_late = True
# Off: a task that kills its worker would come back at once, for ever (measured: 42 times in 6 s).
# The sweep brings its row back, with its attempts counted.
task_reject_on_worker_lost = False
# One message a process at a time: a drain is long, and a second one belongs to another worker.
worker_prefetch_multiplier = 1
# A drain ends by itself after ten seconds; what takes this long hangs.
task_soft_time_limit = 45
task_time_limit = 60

# Reconnect for ever: an operator restarts Redis without restarting workers.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
# After a failover READONLY and OOM answers are the old primary's, not ours to die of.
broker_channel_error_retry = True
worker_cancel_long_running_tasks_on_connection_loss = True
broker_transport_options = {
    **_broker.transport_options,
    # Counted from reception and never refreshed: longer than the hard limit and a soft shutdown.
    "visibility_timeout": 300,
    # None (the default) would let a half-open connection block a publish for ever.
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 25,
    # Look for messages of dead workers every few seconds instead of about every 100.
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # Queues take turns: a flood of leads must not starve the schedule.
    "queue_order_strategy": "round_robin",
    # A publisher gives up soon: the row is there, and the sweep will nudge again.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.2,
}
task_publish_retry = False

# Discards the messages that would end the worker: Celery's own consumer lets them end it.
worker_consumer = "worker.celery_requests:Consumer"
# Processes are replaced before a leak in any library could hurt.
worker_max_tasks_per_child = 10_000
worker_max_memory_per_child = 300_000  # KiB
# On SIGTERM a task has this long to finish before it is cancelled; its row comes back anyway.
worker_soft_shutdown_timeout = 15
worker_hijack_root_logger = False
# Events for Flower. They cost about a third of the rate of tiny tasks; ours are batches.
worker_send_task_events = True

# Beat keeps no file: the database decides what is due, so lost, doubled and late ticks are
# harmless, and two beats may run.
beat_scheduler = "worker.beat:Scheduler"
enable_utc = True
timezone = "UTC"
# How often beat asks, in seconds. The quality scores are due once an hour, the proof of the ledger
# once a day: a tick only asks whether they are.
_TICKS = (
    ("sweep the inbox", "tasks.inbox.sweep", 5),
    ("release parked leads", "tasks.leads.release", 5),
    ("recover calls whose message was lost", "tasks.leads.recover", 15),
    ("ask the gateways about open orders", "tasks.payments.ask", 10),
    ("settle refunds and ask about them", "tasks.refunds.ask", 10),
    ("send notices that are due", "tasks.notices.deliver", 5),
    ("send mails that are due", "tasks.notices.mail", 5),
    ("let holds and credit expire", "tasks.ledger.expire", 15),
    ("grant the months that have begun", "tasks.grants.grant", 30),
    ("enforce renewals", "tasks.renewals.enforce", 30),
    ("verify the ledger once a day", "tasks.ledger.check", 600),
    ("compute the quality scores once an hour", "tasks.disputes.score", 600),
    ("blank the personal data whose time is up", "tasks.retention.blank", 600),
)
# An old tick is of no use. But the worker's clock judges its age, and a clock that is ahead by
# more than this would drop every tick: as wide as signatures allow.
_TICK_EXPIRES_SECONDS = 300
beat_schedule = {
    name: {"task": task, "schedule": seconds, "options": {"expires": _TICK_EXPIRES_SECONDS}}
    for name, task, seconds in _TICKS
}
