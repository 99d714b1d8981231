"""What will run and where: read from the environment and the Procfile before anything starts.

Everything a person can have got wrong is found here. Called by `stack.py`.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import settings
from clock import development as development_clock
from db.roles import VARIABLES, Role
from devstack import lock, mails, payment_gateways, ports, procfile, secret_files
from devstack.errors import DevstackError
from settings import listeners

PROCFILE = settings.PROJECT_DIR / "Procfile"
FLOWER_VARIABLE = listeners.FLOWER_VARIABLE
DOORS = ("receiver", "api", "web")
"""The processes that strangers reach: they work as the doors' role of the database."""
FLOWER_USER = "billing"
API_KEY_NAME = "devstack"
CLOCK_FILE_NAME = "clock.json"
LOOPBACK = "127.0.0.0/8,::1/128"


@dataclass(frozen=True)
class Plan:
    """The processes to run and the environment that a person gave, validated."""

    data_dir: Path
    commands: Mapping[str, str]
    """Name of the process -> command line: the Procfile's, and perhaps simulator and sink."""
    ports: Mapping[str, int]
    """Name of a process -> the port it will listen on; and that on which the sink takes mails."""
    own_database: bool
    """DATABASE_URL is not set: PostgreSQL is ours to run."""
    own_redis: bool
    """REDIS_URL is not set: Redis is ours to run."""
    throw_away: bool
    """The data folder is removed at the end."""

    @property
    def clock_file(self) -> Path | None:
        """Where `billing clock` moves the time of our own database; None: it is not to be moved."""
        if not self.own_database or payment_gateways.have_a_live_key():
            return None
        return Path(os.environ.get(settings.CLOCK_VARIABLE) or self.data_dir / CLOCK_FILE_NAME)

    @property
    def simulated(self) -> bool:
        """No gateway has a key: the simulator plays them."""
        return payment_gateways.SIMULATOR in self.commands

    @property
    def mails_to_sink(self) -> bool:
        """No SMTP_URL is set: the sink takes the mails."""
        return mails.SINK in self.commands

    @property
    def shows_notices(self) -> bool:
        """A receiver of this machine may be sent one: with our own database and no live key."""
        return self.clock_file is not None and {"notices", "worker", "receiver"} <= set(
            self.commands
        )

    @property
    def logs_dir(self) -> Path:
        """Where each process writes `<name>.log`."""
        return self.data_dir / "logs"

    @property
    def stack_file(self) -> Path:
        """Where the addresses of the running stack stand, for `billing` and the tests."""
        return settings.stack_file(self.data_dir)

    def url(self, process: str) -> str:
        """Return the address of a process that has a port."""
        return f"http://{ports.HOST}:{self.ports[process]}"


def make(*, procfile_path: Path, data_dir: Path | None = None) -> Plan:
    """Return the plan, with the data folder made; `data_dir` is a throw-away one, on free ports.

    Raises `settings.SettingsError` or `DevstackError` for what does not make sense.
    """
    _tidy_environment()
    _refuse_roles_alone()
    commands = procfile.read(procfile_path)
    if payment_gateways.are_simulated():
        commands[payment_gateways.SIMULATOR] = payment_gateways.SIMULATOR_COMMAND
    if mails.go_to_sink():
        commands[mails.SINK] = mails.SINK_COMMAND
    listeners_used = _listeners_of(commands)
    if data_dir is not None:
        os.environ["BILLING_DATA_DIR"] = str(data_dir)
        _choose_free_ports(listeners_used)
    known = _read_settings()
    plan = Plan(
        data_dir=known.billing_data_dir.absolute(),
        commands=commands,
        ports={name: settings.listener(name).port for name in listeners_used},
        own_database=not os.environ.get("DATABASE_URL"),
        own_redis=not os.environ.get("REDIS_URL"),
        throw_away=data_dir is not None,
    )
    _refuse_other_times(plan)
    _make_folders(plan)
    return plan


def require_free_ports(plan: Plan) -> None:
    """Raise `DevstackError` for each port of the plan that is taken."""
    ports.require_free({f"{name.upper()}_PORT": port for name, port in plan.ports.items()})


def apply(
    plan: Plan,
    *,
    database_urls: Mapping[str, str],
    redis_url: str | None,
) -> settings.Settings:
    """Complete the environment of this process with the addresses of our own servers.

    `database_urls` has the variable of each role of the database; empty if it is not ours.

    What is set already stays. The rules of the product then work in this process too.
    """
    own: dict[str, str | None] = {
        **database_urls,
        "REDIS_URL": redis_url,
        "BILLING_DATA_DIR": str(plan.data_dir),
        settings.CLOCK_VARIABLE: str(plan.clock_file) if plan.clock_file else None,
        **{f"{name.upper()}_PORT": str(port) for name, port in plan.ports.items()},
    }
    if plan.simulated:
        own |= payment_gateways.simulator_environment(plan.url(payment_gateways.SIMULATOR))
    if plan.mails_to_sink:
        own |= mails.sink_environment(plan.ports)
    for variable, value in _of_pages(plan).items():
        own[variable] = os.environ.get(variable) or value
    os.environ.update({name: value for name, value in own.items() if value is not None})
    for variable, secret in _kept_secrets(plan).items():
        if not os.environ.get(variable):
            os.environ[variable] = secret()
    settings.get.cache_clear()
    development_clock.follow()
    return settings.require()


def _of_pages(plan: Plan) -> dict[str, str]:
    """Return what pages and notices need if nobody sets it."""
    return {
        "WEB_URL": plan.url("web") if "web" in plan.ports else f"http://{ports.HOST}",
        # A receiver of one's own on this machine; with real money nothing is let through.
        "NOTICE_ALLOW_CIDRS": "" if payment_gateways.have_a_live_key() else LOOPBACK,
    }


def _kept_secrets(plan: Plan) -> dict[str, Callable[[], str]]:
    """Return each variable's value if nobody sets it: made once, then kept."""

    def kept(name: str, make: Callable[[], str]) -> str:
        return secret_files.kept(plan.data_dir / name, make)

    secrets = {
        "LEAD_WEBHOOK_SECRETS": lambda: kept(
            "lead_webhook_secret", secret_files.random_webhook_secret
        ),
        "API_KEYS": lambda: f"{API_KEY_NAME}:{kept('api_key', secret_files.random_password)}",
        FLOWER_VARIABLE: lambda: (
            f"{FLOWER_USER}:{kept('flower_password', secret_files.random_password)}"
        ),
        "WEB_SECRETS": lambda: kept("web_secret", secret_files.random_password),
    }
    if plan.simulated:  # those of a real gateway can only be copied from it
        secrets |= {
            "RAZORPAY_WEBHOOK_SECRETS": lambda: kept(
                "razorpay_webhook_secret", secret_files.random_password
            ),
            "STRIPE_WEBHOOK_SECRETS": lambda: kept(
                "stripe_webhook_secret", secret_files.random_webhook_secret
            ),
        }
    return secrets


def environment_of_child(plan: Plan, name: str, python: Path) -> dict[str, str]:
    """Return the environment of a process of the stack, which runs `python`'s programs."""
    environment = dict(os.environ)
    # Nobody migrates, and each process knows the address of its own role only.
    environment.pop(VARIABLES[Role.OWNER], None)
    doors_url = environment.pop(VARIABLES[Role.DOORS], None)
    if name in DOORS and doors_url:
        environment[VARIABLES[Role.WORKERS]] = doors_url
    if name != "worker":
        environment.pop(VARIABLES[Role.RETENTION], None)
    return environment | {
        "PATH": f"{python.parent}{os.pathsep}{environment.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",  # the log shows a line when it is written
        "SPT_NOENV": "1",  # a process that sets its title leaves the marker below readable
        lock.MARKER: str(plan.data_dir),
    }


def _tidy_environment() -> None:
    # From here on a variable that is set is one that means something, as the settings see it.
    for name, value in list(os.environ.items()):
        stripped = value.strip()
        if listeners.is_service_link(name, stripped):
            del os.environ[name]
        elif stripped != value and name.lower() in settings.Settings.model_fields:
            os.environ[name] = stripped


def _refuse_roles_alone() -> None:
    for variable in VARIABLES.values():
        if os.environ.get(variable) and not os.environ.get("DATABASE_URL"):
            raise DevstackError(
                f"{variable} is set and DATABASE_URL is not: set both for a database of yours,"
                " or neither for the embedded one"
            )


def _refuse_other_times(plan: Plan) -> None:
    if os.environ.get(settings.CLOCK_VARIABLE) and not plan.own_database:
        raise DevstackError(
            f"{settings.CLOCK_VARIABLE} is set, and so is DATABASE_URL: time is moved for the"
            " embedded database only; unset one of them"
        )
    moved = plan.data_dir / CLOCK_FILE_NAME
    if plan.own_database and plan.clock_file is None and moved.exists():
        raise DevstackError(
            f"the time of this data was moved ({moved}), and a gateway's key is live: set"
            " BILLING_DATA_DIR to another folder, or use a key of test mode"
        )


def _read_settings() -> settings.Settings:
    # Our servers' addresses come later; what a person set is judged before anything is started.
    provisional = {
        "DATABASE_URL": "postgresql://localhost", "REDIS_URL": "redis://localhost",
        "WEB_URL": "http://localhost", "WEB_SECRETS": "-" * settings.WEB_SECRET_MIN_LENGTH,
    }  # fmt: skip
    missing = {name: url for name, url in provisional.items() if not os.environ.get(name)}
    os.environ.update(missing)
    try:
        settings.flower_logins()
        return settings.load()
    finally:
        for name in missing:
            del os.environ[name]


def _listeners_of(commands: Mapping[str, str]) -> list[str]:
    """Return the names of `listeners.PORTS` that these processes listen on."""
    names = [name for name in commands if name in listeners.PORTS]
    return [*names, mails.SINK_SMTP] if mails.SINK in names else names


def _choose_free_ports(names: list[str]) -> None:
    for name in names:
        variable = f"{name.upper()}_PORT"
        if not os.environ.get(variable):
            os.environ[variable] = str(ports.find_free())


def _make_folders(plan: Plan) -> None:
    try:
        if not plan.data_dir.exists():
            plan.data_dir.mkdir(parents=True)
            # As root, PostgreSQL's own user must get through; what is secret has mode 0600.
            plan.data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
        plan.logs_dir.mkdir(mode=0o700, exist_ok=True)
        tempfile.TemporaryFile(dir=plan.data_dir).close()  # we may write in it
    except OSError as error:
        raise DevstackError(
            f"the data folder {plan.data_dir} cannot be used ({error.strerror}):"
            " set BILLING_DATA_DIR to a folder of yours"
        ) from error
