"""Takes from Python on Linux what Python on macOS does not have.

With this folder on ``PYTHONPATH``, every process acts as the machine of an author
who works on a Mac, as far as the operating system's calls go.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import select
import signal
import socket
import sys
from typing import Any

MISSING = {
    fcntl: ("F_ADD_SEALS", "F_GET_SEALS", "F_GETPIPE_SZ", "F_SETPIPE_SZ", "F_OFD_*"),
    mmap: ("MADV_POPULATE_*", "MAP_POPULATE", "MAP_STACK", "MAP_DENYWRITE"),
    os: (
        *("copy_file_range", "eventfd*", "fdatasync", "getrandom", "memfd_create"),
        *("getresgid", "getresuid", "setresgid", "setresuid", "pidfd_open", "pipe2"),
        *("getxattr", "listxattr", "removexattr", "setxattr", "XATTR_*"),
        *("posix_fadvise", "posix_fallocate", "POSIX_FADV_*", "splice", "SPLICE_*"),
        *("sched_get*", "sched_set*", "sched_rr*", "sched_param", "SCHED_*"),
        *("EFD_*", "MFD_*", "CLONE_*", "setns", "unshare", "RTLD_DEEPBIND"),
        *("O_DIRECT", "O_LARGEFILE", "O_NOATIME", "O_PATH", "O_RSYNC", "O_TMPFILE"),
        *("statx", "ST_NOEXEC", "ST_NODEV", "ST_NOATIME"),
        *("ST_APPEND", "ST_MANDLOCK", "ST_NODIRATIME", "ST_RELATIME", "ST_SYNCHRONOUS"),
        *("ST_WRITE", "RWF_*", "P_PIDFD"),
    ),
    select: ("epoll", "EPOLL*"),
    signal: ("pidfd_send_signal", "sigtimedwait", "sigwaitinfo", "SIGRTM*", "SIGPWR"),
    socket: ("AF_NETLINK", "AF_PACKET", "AF_VSOCK", "SOCK_CLOEXEC", "SOCK_NONBLOCK"),
}
FOLDERS = ("/proc", "/sys/fs", "/dev/shm")


def main() -> None:
    """Take all of it away."""
    for module, patterns in MISSING.items():
        for name in list(vars(module)):
            if any(
                name.startswith(pattern[:-1]) if pattern[-1] == "*" else name == pattern
                for pattern in patterns
            ):
                delattr(module, name)
    sys.addaudithook(refuse)


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise FileNotFoundError for a folder that only Linux has."""
    if event in {"open", "os.listdir", "os.scandir"}:
        path = arguments[0]
        if isinstance(path, str) and f"{path}/".startswith(
            tuple(f"{folder}/" for folder in FOLDERS)
        ):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


main()
