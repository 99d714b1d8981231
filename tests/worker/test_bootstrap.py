"""A worker child must not share its parent's connection to PostgreSQL."""

import json
import subprocess
import sys

# In a process of its own: pytest's has threads, which a fork would leave behind.
FORK = """
import json, os
from sqlalchemy import text
from db import session
from worker import bootstrap

def backend():
    with session.transaction() as s:
        return s.scalar(text("SELECT pg_backend_pid()"))

before = backend()
read, write = os.pipe()
if not os.fork():
    bootstrap._after_fork()
    os.write(write, str(backend()).encode())
    os._exit(0)
child = int(os.read(read, 20))
os.wait()
print(json.dumps([before, child, backend()]))
"""


def test_after_a_fork_parent_and_child_have_connections_of_their_own(database: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    before, child, after = json.loads(done.stdout)
    assert before == after  # the parent's is still open and still its own
    assert child != before
