"""A small program that starts another one as an unprivileged user, and on request in a session of its own.

It is run by its path in a bare interpreter, so that between dropping root and the start nothing else runs:
``launcher.py UID:GID DIRECTORY stay|detach PROGRAM ARGUMENT…``, where ``-`` for UID:GID keeps the user. Where the
user may not walk to the program or to DIRECTORY, as below a closed home of root, the program keeps the one right
to do so (Linux capabilities, ``CAP_DAC_READ_SEARCH``); no permission of any file is changed.
Ends with ``OUT_OF_REACH`` and a line of why on stderr where that is not possible.
"""

from __future__ import annotations

import os
import sys

OUT_OF_REACH = 77

_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


def _become(uid: int, gid: int, program: str, directory: str) -> None:
    """Drop root for good, keeping no right but the one to reach two paths, and that only where it is needed."""
    linux = sys.platform == "linux"
    libc = None
    if linux:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if os.access(program, os.X_OK) and os.access(directory, os.R_OK | os.X_OK):
        return  # what was kept so far is gone with the next exec
    # A container has often only the second right.
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        if libc is None:
            break
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        bit = 1 << capability
        sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable; low words first
        current = (ctypes.c_uint32 * 6)()
        if libc.capget(header, current) != 0 or not current[1] & bit:
            continue
        if libc.capset(header, sets) == 0 and libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0:
            os.stat(program)
            os.stat(os.path.join(directory, "."))
            return
    raise PermissionError(f"user {uid} may not enter a folder above it")


def main(arguments: list[str]) -> int:
    """Start the program; comes back only where it detached or failed."""
    user, directory, manner, program, *rest = arguments
    os.umask(0o077)
    try:
        if user != "-":
            uid, _, gid = user.partition(":")
            _become(int(uid), int(gid), program, directory)
    except OSError as error:
        print(error.strerror or error, file=sys.stderr)
        return OUT_OF_REACH
    if manner == "detach":
        if os.fork():
            return 0
        os.setsid()
    os.execv(program, [program, *rest])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
