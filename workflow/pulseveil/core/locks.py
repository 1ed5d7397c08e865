"""Locks between processes, released by the operating system when a process ends, even by a kill."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from pulseveil.core.errors import InputError


@contextmanager
def held(path: Path, name: str, busy: str) -> Iterator[None]:
    """Hold the lock `name` of the file `path` within the block; other names of the file stay free.

    The lock also holds between the machines of a cluster, on network file systems with locks (NFS: on by
    default; Lustre: mounted with flock). It does not exclude code of the same process, and POSIX releases all
    locks of a process on a file when the process closes any descriptor of that file: do not nest blocks.

    Raises:
        InputError: another process holds the lock (message `busy`), or the file system has no locks.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise InputError(f"{path}: the lock file cannot be created ({error})") from None
    try:
        # One byte per name, far beyond the end of an empty file. One file per name would need removal, which
        # is a race: a process could lock the removed file while another one locks its successor.
        position = int.from_bytes(sha256(name.encode()).digest()[:7], "big")
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, position)
        except (BlockingIOError, PermissionError):
            raise InputError(f"{path}: {busy}") from None
        except OSError as error:
            raise InputError(
                f"{path}: this file system has no locks ({error}); run in a folder of one that has, with "
                "--directory"
            ) from None
        yield
    finally:
        os.close(descriptor)
