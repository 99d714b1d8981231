"""Where the processes of this environment listen: each port makes sense, and no two are equal."""

from collections import defaultdict
from collections.abc import Iterator

from cli.examinations.diagnosis import Diagnosis, attention, broken, well
from settings import Settings, SettingsError, listeners


def examine(_: Settings) -> Iterator[Diagnosis]:
    """Yield which ports are wrong, and whether Flower asks for a password."""
    used: defaultdict[int, list[str]] = defaultdict(list)
    wrong = False
    for process in listeners.PORTS:
        try:
            used[listeners.listener(process).port].append(process)
        except SettingsError as error:
            wrong = True
            yield broken("ports", str(error), "correct it: docs/reference/settings.md")
    for port, processes in used.items():
        if len(processes) > 1:
            wrong = True
            detail = f"{' and '.join(processes)} listen on {port}"
            yield broken("ports", detail, "give each a port of its own")
    if not wrong:
        yield well("ports", ", ".join(f"{names[0]} {port}" for port, names in used.items()))
    try:
        logins = listeners.flower_logins()
        host = listeners.listener("flower").host
    except SettingsError as error:
        if not str(error).startswith("FLOWER_PORT"):
            yield broken("flower", str(error), "correct it: docs/reference/settings.md")
        return
    if logins:
        yield well("flower", "asks for a password")
    elif host in {"127.0.0.1", "::1", "localhost"}:
        yield well("flower", "asks for no password, and listens on this computer alone")
    else:
        yield attention("flower", f"asks for no password on {host}", "set FLOWER_BASIC_AUTH")
