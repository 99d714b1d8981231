"""`python launch.py LOG UID GID COMMAND...`: become a service that writes to its log file.

Run as a file, by `supervisor.py`, with nothing but the standard library. The log is opened before
the rights are given up: PostgreSQL's own user need not reach it. (Circus can copy a child's output
to a file, but loses count of its pipes when several children die at once, and then starts none.)
"""

import os
import sys

if __name__ == "__main__":
    log_file, uid, gid, *command = sys.argv[1:]
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    os.execvp(command[0], command)  # noqa: S606 - becomes the service
