"""Launcher: a small program that starts another one as an unprivileged user, on request in a session of its own.

It is run by its path in a bare interpreter, so that no other code runs between dropping root and the exec:
``exec_as.py UID:GID DIRECTORY stay|detach PROGRAM ARGUMENT…``, where ``-`` for UID:GID keeps the user. If the user may
not walk to the program or to DIRECTORY, as below a closed home of root, the program keeps the one right to do so (Linux
capabilities, ``CAP_DAC_READ_SEARCH``); no permission of any file is changed. Exits with ``OUT_OF_REACH`` and the reason
in a line on stderr if that is not possible.
"""

from __future__ import annotations

import ctypes
import os
import sys

OUT_OF_REACH = 77
"""Exit status if the user cannot reach the program or its directory."""

_PR_SET_KEEPCAPS = 8  # linux/prctl.h
_PR_GET_SECUREBITS, _PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 27, 28, 4  # linux/prctl.h, linux/securebits.h
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2  # linux/prctl.h
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_SETPCAP = 1 << 1, 1 << 2, 1 << 8  # linux/capability.h


def _become(uid: int, gid: int, program: str, directory: str) -> None:
    """Drop root for good; keep only the right to reach two paths, and only if it is needed."""
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc is not None:
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if os.access(program, os.X_OK) and os.access(directory, os.R_OK | os.X_OK):
        return  # the kept capabilities end with the next exec
    if libc is None or not _keep_reach(libc):
        raise PermissionError(f"user {uid} has no access to a parent folder")
    os.stat(program)
    os.stat(os.path.join(directory, "."))


def _keep_reach(libc: ctypes.CDLL) -> bool:
    """Keep the right to walk through closed folders over the next exec; drop every other right."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    current = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the high words of each
    if libc.capget(header, current) != 0:
        return False
    reach = current[1] & _CAP_DAC_READ_SEARCH or current[1] & _CAP_DAC_OVERRIDE  # containers often have only the second
    for rights in (reach | current[1] & _CAP_SETPCAP, reach):
        if libc.capset(header, (ctypes.c_uint32 * 6)(rights, rights, reach, 0, 0, 0)) != 0:
            return False
        if rights & _CAP_SETPCAP:
            # Otherwise access(2), which the programs use to find each other, ignores the right.
            libc.prctl(_PR_SET_SECUREBITS, libc.prctl(_PR_GET_SECUREBITS, 0, 0, 0, 0) | _NO_SETUID_FIXUP, 0, 0, 0)
    capability = reach.bit_length() - 1
    return bool(reach) and libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0


def main(arguments: list[str]) -> int:
    """Start the program; returns only if it detached or failed."""
    user, directory, mode, program, *rest = arguments
    os.umask(0o077)
    try:
        if user != "-":
            uid, _, gid = user.partition(":")
            _become(int(uid), int(gid), program, directory)
    except OSError as error:
        print(error.strerror or error, file=sys.stderr)
        return OUT_OF_REACH
    if mode == "detach":
        if os.fork():
            return 0
        os.setsid()
    os.execv(program, [program, *rest])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
