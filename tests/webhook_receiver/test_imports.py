"""What the receiver does not load."""

import os
import subprocess
import sys

import settings

CODE = (
    "import sys, webhook_receiver.app; print({'razorpay', 'stripe', 'requests'} & {*sys.modules})"
)


def test_the_receiver_loads_no_gateways_sdk() -> None:
    environment = os.environ | {"DATABASE_URL": "postgresql://x/y", "REDIS_URL": "redis://x/0"}

    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=environment,
        cwd=settings.PROJECT_DIR,
        capture_output=True,
        check=False,
        text=True,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "set()\n", "")
