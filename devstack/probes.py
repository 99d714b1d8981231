"""Is it there? Short questions to HTTP servers, and to a database or broker that is not ours."""

import http.client

import psycopg2
import redis

from devstack import ports
from devstack.errors import DevstackError
from service import redis_url
from settings.redis_url import read as read_redis_url

TIMEOUT_SECONDS = 5


def http_status(port: int, path: str, *, authorization: str | None = None) -> int | None:
    """Return the status of GET `path` on a loopback port; None when nothing answers."""
    status, _ = http_get(port, path, authorization=authorization)
    return status


def http_get(port: int, path: str, *, authorization: str | None = None) -> tuple[int | None, bytes]:
    """Return status and body of GET `path` on a loopback port; None when nothing answers."""
    headers = {"Authorization": authorization} if authorization else {}
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None, b""
    finally:
        connection.close()


def require_database(url: str) -> None:
    """Raise `DevstackError` unless PostgreSQL answers at a person's DATABASE_URL."""
    plain = url.replace("postgresql+psycopg2://", "postgresql://", 1)
    try:
        psycopg2.connect(plain, connect_timeout=TIMEOUT_SECONDS).close()
    except (psycopg2.OperationalError, psycopg2.ProgrammingError) as error:
        raise DevstackError(f"DATABASE_URL is set, but cannot be used: {_line(error)}") from None


def require_redis(url: str) -> None:
    """Raise `DevstackError` unless Redis answers at a person's REDIS_URL."""
    try:
        with redis_url.connect(read_redis_url(url), timeout_seconds=TIMEOUT_SECONDS) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise DevstackError(f"REDIS_URL is set, but cannot be used: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
