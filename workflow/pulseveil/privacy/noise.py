"""Where privacy noise and sampling masks come from: a key that no seed tree knows."""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import shlex
import stat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.errors import InputError
from pulseveil.core.randomness import Stream

KEY_BYTES = 32
_HASH_BYTES = 32
_BLOCK_BYTES = 255 * _HASH_BYTES
_SALT = b"pulseveil privacy noise"


class Noise:
    """A 256-bit key from which each draw is derived by its path, such as (mechanism, step, tensor, purpose).

    A path must never be used with other data, batch, parameters, clip norm, multiplier or program: two sums
    under the same noise give away their difference. `secret` is False for the reproducible noise of tests.
    The key is neither shown nor written by anything but `fresh`: pickling and copying raise TypeError.
    """

    def __init__(self, key: bytes, secret: bool) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._root = hkdf_extract(_SALT, key)
        self.secret = secret

    def __repr__(self) -> str:
        return f"Noise(secret={self.secret})"

    def __reduce__(self) -> str:
        raise TypeError("the key of privacy noise is neither pickled nor copied")

    def generator(self, *path: str | int) -> np.random.Generator:
        """A NumPy generator (Philox, 128-bit key) of its own for a path."""
        key = hkdf_expand(self._root, encode_path("generator", *path), 16)
        return np.random.Generator(np.random.Philox(key=np.frombuffer(key, "<u8")))

    def seeds(self, *path: str | int, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """Seeds (*shape, 2) for TensorFlow's stateless generators; a shorter first axis gives a prefix."""
        size = 8 * math.prod(shape)
        blocks = [
            hkdf_expand(self._root, encode_path("seeds", *path, block), _BLOCK_BYTES)
            for block in range(math.ceil(size / _BLOCK_BYTES))
        ]
        words = np.frombuffer(b"".join(blocks)[:size], "<i4")
        return words.astype(np.int32).reshape(*shape, 2)


def fresh(path: Path) -> Noise:
    """Secret noise from a new key of the operating system, kept in a new file that its owner alone can read.

    Raises FileExistsError where there is a key already: it may have been used. Raises InputError where no
    key can be kept.
    """
    key = os.urandom(KEY_BYTES)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        # A file cut short by a crash is refused by `resume`, so this is whole or useless.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(descriptor)
        _keep_entry(path)
    except FileExistsError:
        raise
    except OSError as error:
        raise InputError(f"{path}: the key of a private training cannot be kept there ({error})") from None
    return Noise(key, secret=True)


def resume(path: Path) -> Noise:
    """The noise of a key file of `fresh`, to replay lost steps of an unchanged training.

    Raises InputError when there is none, it was destroyed, or others could have read or changed it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise InputError(f"{path}: expected the key of an unfinished training ({error})") from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        key = file.read(KEY_BYTES + 1)
    if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.getuid():
        raise InputError(f"{path}: a key that other users can reach protects nothing")
    if len(key) != KEY_BYTES:
        raise InputError(f"{path}: expected a key of {KEY_BYTES} bytes, found {status.st_size}")
    if not any(key):
        raise InputError(f"{path}: this key was overwritten: the training was at its end")
    return Noise(key, secret=True)


def destroy(path: Path) -> None:
    """Overwrite and remove a key file; nothing where there is none.

    Overwriting is all that a program can do: file systems that copy on write may keep the old block. Raises
    InputError for what cannot be overwritten.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        with open(descriptor, "wb") as file:
            file.write(bytes(max(KEY_BYTES, os.fstat(descriptor).st_size)))
            file.flush()
            os.fsync(descriptor)
        path.unlink()
        _keep_entry(path)
    except FileNotFoundError:
        return
    except OSError as error:
        cure = shlex.join(["rm", "-r", str(path)])
        raise InputError(
            f"{path}: an old key that cannot be overwritten ({error}); remove it: {cure}"
        ) from None


def _keep_entry(path: Path) -> None:
    """Make a crash of the machine find the folder as it is now: files survive without their names."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reproducible(stream: Stream) -> Noise:
    """Noise from the seed tree: for tests and rehearsals, where nothing needs protection."""
    return Noise(stream.generate_state(KEY_BYTES // 4, np.uint32).astype("<u4").tobytes(), secret=False)


def encode_path(*path: str | int) -> bytes:
    """One spelling a path: type, length and text of each part, so that no two paths look alike."""
    parts = []
    for part in path:
        text = part.encode() if isinstance(part, str) else str(int(part)).encode()
        kind = b"s" if isinstance(part, str) else b"i"
        parts.append(kind + len(text).to_bytes(4, "big") + text)
    return b"".join(parts)


def hkdf_extract(salt: bytes, key: bytes) -> bytes:
    """A pseudorandom key (32 bytes) from key material. Source: RFC 5869, section 2.2, with SHA-256."""
    return hmac.digest(salt, key, hashlib.sha256)


def hkdf_expand(root: bytes, info: bytes, length: int) -> bytes:
    """`length` bytes (at most 8,160) for one use `info`. Source: RFC 5869, section 2.3, with SHA-256."""
    if length > _BLOCK_BYTES:
        raise ValueError(f"HKDF gives at most {_BLOCK_BYTES} bytes for one use, not {length}")
    block, output = b"", b""
    for counter in range(1, math.ceil(length / _HASH_BYTES) + 1):
        block = hmac.digest(root, block + info + bytes([counter]), hashlib.sha256)
        output += block
    return output[:length]
