"""Locks between processes, which the system takes away from one that ends, however it ends."""

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
    """Hold the lock `name` of the file `path` within the block; names of a file do not wait for each other.

    Raises InputError where another process holds it, which `busy` says, and where the file system has no
    locks. They hold between the machines of a cluster, too, on network file systems with locks (NFS: on by
    default; Lustre: mounted with flock). Within a process a lock keeps nothing out.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise InputError(f"{path}: a file for locks cannot be made there ({error})") from None
    try:
        # One byte a name, far behind the end of an empty file, which stays: removing lock files is a race.
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
