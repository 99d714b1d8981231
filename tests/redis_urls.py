"""Addresses of Redis and what they mean, to the back office and to the client alike."""

from pathlib import Path
from typing import Any

CA = str(Path(__file__).parent / "certificates" / "authority.pem")
TLS: dict[str, Any] = {
    "cert_reqs": "required", "check_hostname": True, "ca_certs": None, "certfile": None,
    "keyfile": None,
}  # fmt: skip
NOTHING: dict[str, Any] = {
    "hosts": (), "socket_path": "", "db": 0, "username": "", "password": "", "tls": None,
    "master_name": "", "sentinel_username": "", "sentinel_password": "",
}  # fmt: skip
HOST = (("broker", 6379),)
PAIR = (("a", 26379), ("b", 26380))

MEANINGS: dict[str, dict[str, Any]] = {
    "redis://broker": {"hosts": HOST},
    "redis://broker/": {"hosts": HOST},
    "redis://broker:6380/3": {"hosts": (("broker", 6380),), "db": 3},
    "redis://broker?db=3": {"hosts": HOST, "db": 3},
    "redis://broker/0\n": {"hosts": HOST},
    "redis://[::1]:6380/1": {"hosts": (("::1", 6380),), "db": 1},
    "redis://:p%40ss@broker/0": {"hosts": HOST, "password": "p@ss"},
    "redis://ops:pass@broker/0": {"hosts": HOST, "username": "ops", "password": "pass"},
    # As people paste them
    "redis://:p@ss@broker/0": {"hosts": HOST, "password": "p@ss"},
    "redis://:p#a/s?s[w]@broker/0": {"hosts": HOST, "password": "p#a/s?s[w]"},
    "redis://:p/a@s?s@broker:6379/0": {"hosts": HOST, "password": "p/a@s?s"},
    "rediss://broker/0": {"hosts": HOST, "tls": TLS},
    "rediss://broker?ssl_cert_reqs=required": {"hosts": HOST, "tls": TLS},
    "rediss://broker?ssl_cert_reqs=CERT_REQUIRED": {"hosts": HOST, "tls": TLS},
    "rediss://broker?ssl_cert_reqs=CERT_OPTIONAL": {
        "hosts": HOST, "tls": {**TLS, "cert_reqs": "optional"},
    },
    "rediss://broker?ssl_cert_reqs=none": {
        "hosts": HOST, "tls": {**TLS, "cert_reqs": "none", "check_hostname": False},
    },
    "rediss://broker?ssl_cert_reqs=CERT_NONE": {
        "hosts": HOST, "tls": {**TLS, "cert_reqs": "none", "check_hostname": False},
    },
    "rediss://broker?ssl_check_hostname=False": {
        "hosts": HOST, "tls": {**TLS, "check_hostname": False},
    },
    f"rediss://broker/2?ssl_ca_certs={CA}&ssl_certfile={CA}&ssl_keyfile={CA}": {
        "hosts": HOST, "db": 2, "tls": {**TLS, "ca_certs": CA, "certfile": CA, "keyfile": CA},
    },
    "unix:///run/redis.sock": {"socket_path": "/run/redis.sock"},
    "unix:///run/redis.sock?db=2": {"socket_path": "/run/redis.sock", "db": 2},
    "unix:///run/a%20b.sock": {"socket_path": "/run/a b.sock"},
    "unix://%2Frun%2Fredis.sock": {"socket_path": "/run/redis.sock"},
    "unix://ops:pass@/run/redis.sock": {
        "socket_path": "/run/redis.sock", "username": "ops", "password": "pass",
    },
    "unix:///run/redis.sock?password=p@ss": {"socket_path": "/run/redis.sock", "password": "p@ss"},
    "unix:///run/a@b/redis.sock": {"socket_path": "/run/a@b/redis.sock"},
    "redis+socket:///run/redis.sock?virtual_host=2": {"socket_path": "/run/redis.sock", "db": 2},
    "sentinel://a/1?master_name=m": {"hosts": (("a", 26379),), "db": 1, "master_name": "m"},
    "sentinel://:pass@a,b:26380/1?master_name=m&sentinel_password=s@ntinel": {
        "hosts": PAIR, "db": 1, "password": "pass", "master_name": "m",
        "sentinel_password": "s@ntinel",
    },
    "sentinel://ops:pass@a:26379;sentinel://ops:pass@b:26380/1?master_name=m": {
        "hosts": PAIR, "db": 1, "username": "ops", "password": "pass", "master_name": "m",
    },
    "sentinel://ops:pass@a/1;sentinel://b:26380/1?master_name=m": {
        "hosts": PAIR, "db": 1, "username": "ops", "password": "pass", "master_name": "m",
    },
    "sentinels://a,b:26380?master_name=m": {"hosts": PAIR, "master_name": "m", "tls": TLS},
}  # fmt: skip
"""Address -> what it means, beside `NOTHING`."""

SCHEMES = "must start with redis://, rediss://, unix:// or sentinel://"
WRITE = "in a user or password write % as %25, @ as %40, # as %23, / as %2F"
REFUSALS = {
    "": SCHEMES,
    "broker:6379": SCHEMES,
    "http://:S3cret@broker": SCHEMES,
    "redis+sentinel://:S3cret@broker": SCHEMES,
    "redis://": "needs a host",
    "redis:///0": "needs a host",
    "redis://:S3cret@broker:port/0": "the port must be a number",
    "redis://:S3cret@broker:0": "the port must be a number",
    "redis://:S3cret@broker:65536": "the port must be a number",
    "redis://:S3cret@[::1": "needs a host",
    "redis://:S3cret@a,b/0": "redis:// takes one host",
    "redis://:S3cret@broker/name": "the database must be one number",
    "redis://:S3cret@broker/0?db=1": "the database must be one number",
    "redis://:S3cret@broker/0#1": "must be redis://user:password@host:port/number",
    "redis://:S3cret\n@broker": "must hold no line ends",
    "redis://:S3cret@broker/0?max_connections=5": "unknown parameter 'max_connections'",
    "redis://:S3cret@broker/0?socket_timeout=5": "unknown parameter 'socket_timeout'",
    "redis://:S3cret@broker/0?ssl_cert_reqs=none": "unknown parameter 'ssl_cert_reqs'",
    "redis://:S3cret@broker/0?master_name=m": "unknown parameter 'master_name'",
    "redis://broker/0?S3cret.1=m": "unknown parameter: redis:// takes db",
    "redis://broker/0?S3cret": "must be name=value",
    "redis://:S3cret/x?y=z@broker/name": WRITE,
    "redis://S3cret/word@broker": WRITE,
    "unix://:S3cret@/run/a?password=b@/run/c": WRITE,
    "rediss://:S3cret@broker?ssl_cert_reqs=maybe": "ssl_cert_reqs must be required, optional or",
    "rediss://:S3cret@broker?ssl_check_hostname=maybe": "ssl_check_hostname must be true or false",
    "rediss://:S3cret@broker?ssl_ca_certs=/nowhere": "ssl_ca_certs is not a file",
    "rediss://broker?ssl_cert_reqs=none&ssl_cert_reqs=required": "has a parameter twice",
    "unix://": "must be unix:///path?db=0",
    "unix://run/redis.sock": "must be unix:///path?db=0",
    "unix:///run/redis.sock?ssl_cert_reqs=none": "unknown parameter 'ssl_cert_reqs'",
    "redis+socket:///run/redis.sock?db=1&virtual_host=2": "the database must be one number",
    "sentinel://:S3cret@a,b/0": "must end in ?master_name=NAME",
    "sentinel://:S3cret@a,,b/0?master_name=m": "needs a host",
    "sentinel://:S3cret@a;sentinel://:S3cret2@b/0?master_name=m": "the same user and password",
    "sentinel://:S3cret@a/1;sentinel://b/0?master_name=m": "the same database number",
    "sentinel://a?master_name=m;sentinel://b?master_name=m": "parameters stand once, at the end",
    "sentinel://:S3cret@a/0?master_name=m&ssl_cert_reqs=none": "unknown parameter 'ssl_cert_reqs'",
}
"""Address -> a part of the error, which never holds `S3cret`."""
