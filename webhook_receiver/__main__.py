"""`python -m webhook_receiver OPTIONS`: check the environment once, then become granian.

Granian reads the environment in its workers only, and starts those that cannot again and again.
"""

import os
import sys

import settings

if __name__ == "__main__":
    try:
        settings.get()
    except settings.SettingsError as error:
        sys.exit(f"cannot start: {error}")
    os.execvp("granian", ["granian", *sys.argv[1:], "webhook_receiver.app:create_app"])  # noqa: S606, S607 - becomes the server
