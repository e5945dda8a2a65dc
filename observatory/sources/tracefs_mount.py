"""The folder of tracefs, where it is mounted or as a mount of our own that nobody else sees.

fsopen(2) and fsmount(2) make a mount that is attached nowhere: it is reached through its
descriptor alone, and is gone when that is closed. The machine's own mounts are not touched. It is
the same file system wherever it is mounted: instances made here are seen there.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_SIGN = "events/header_page"

# The same numbers on every architecture (include/uapi/asm-generic/unistd.h, linux/mount.h).
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432
_CLOSE_ON_EXEC = 1
_FSCONFIG_CMD_CREATE = 6


def open_folder(places: Sequence[str] = PLACES) -> int:
    """A descriptor of the folder of tracefs, for ``dir_fd``.

    Raises OSError: PermissionError without CAP_SYS_ADMIN, ENODEV where the kernel has no tracefs.
    """
    for place in places:
        try:
            folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            os.stat(_SIGN, dir_fd=folder)
        except OSError:
            os.close(folder)  # an empty folder on which nothing is mounted
        else:
            return folder
    return _mount()


def _mount() -> int:
    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *arguments: object) -> int:
        result: int = libc.syscall(number, *arguments)
        if result < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return result

    context = call(_SYS_FSOPEN, b"tracefs", _CLOSE_ON_EXEC)
    try:
        call(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        mount = call(_SYS_FSMOUNT, context, _CLOSE_ON_EXEC, 0)
    finally:
        os.close(context)
    try:
        # What fsmount gives can only be walked through; reading its folders needs it opened.
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=mount)
    finally:
        os.close(mount)
