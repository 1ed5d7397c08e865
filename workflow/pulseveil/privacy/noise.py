"""Secret randomness of private trainings: noise and draws are derived from a key outside of the seed tree."""

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
    """Source of noise and draws: a 256-bit key, from which each is derived by its path.

    A path is, for example, (mechanism, fingerprint, attempt, purpose). `secret` is False for the reproducible
    noise of tests. Only `fresh` writes a key: pickling and copying raise TypeError.

    Raises:
        ValueError: the key does not have 32 bytes.

    Guarantee:
        Different paths give draws that are independent, as far as HMAC-SHA-256 is a pseudorandom function;
        the generators that they seed, Philox and Threefry, are not cryptographic. It holds while the key is
        secret, and a path serves one sum only: never other data, batch, parameters, clip norm, multiplier or
        program. The difference of two sums under the same noise has no noise.

    Examples:
        >>> noise = Noise(bytes(32), secret=False)
        >>> noise.generator("means", 1).random() == noise.generator("means", 1).random()
        True
        >>> noise.generator("means", 1).random() == noise.generator("means", 2).random()
        False
    """

    def __init__(self, key: bytes, secret: bool) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._root = hkdf_extract(_SALT, key)
        self.secret = secret

    def __repr__(self) -> str:
        return f"Noise(secret={self.secret})"

    def __reduce__(self) -> str:
        # Copies of a budget, such as by `asdict`, would carry the key into files and other processes.
        raise TypeError("the key of privacy noise is neither pickled nor copied")

    def generator(self, *path: str | int) -> np.random.Generator:
        """NumPy generator (Philox, 128-bit key) of a path."""
        # The purpose is part of the path: a generator and seeds of the same path share no bytes.
        key = hkdf_expand(self._root, encode_path("generator", *path), 16)
        return np.random.Generator(np.random.Philox(key=np.frombuffer(key, "<u8")))

    def seeds(self, *path: str | int, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """Seeds (*shape, 2) int32 for generators in TensorFlow; a shorter first axis gives a prefix."""
        size = 8 * math.prod(shape)
        # HKDF gives 8,160 bytes at most: longer seeds are blocks, each with a path of its own.
        blocks = [
            hkdf_expand(self._root, encode_path("seeds", *path, block), _BLOCK_BYTES)
            for block in range(math.ceil(size / _BLOCK_BYTES))
        ]
        words = np.frombuffer(b"".join(blocks)[:size], "<i4")
        return words.astype(np.int32).reshape(*shape, 2)


def fresh(path: Path) -> Noise:
    """Secret noise from a new key of the operating system, stored in a file that only its owner can read.

    Raises:
        FileExistsError: there is a key already, which may have been used.
        InputError: the file cannot be written.

    Guarantee:
        The key is independent of all seeds and data, and on disk before any noise is drawn from it, so that
        no crash leaves noised steps without a key. Users with the owner's rights, and copies of the folder,
        can read it until `destroy`.
    """
    key = os.urandom(KEY_BYTES)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The mode of mkdir yields to the umask, and does nothing for a folder that is there.
        path.parent.chmod(0o700)
        # No atomic rename: a file that a crash cut short is refused by `resume`, and O_EXCL keeps used keys.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(descriptor)
        _keep_entry(path)
    except FileExistsError:
        raise
    except OSError as error:
        raise InputError(f"{path}: the key of a private training cannot be stored ({error})") from None
    return Noise(key, secret=True)


def resume(path: Path) -> Noise:
    """Noise of a key file that `fresh` wrote, to replay lost steps of an unchanged training.

    Raises:
        InputError: there is no key, it was destroyed or cut short, or other users could read or change it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise InputError(f"{path}: expected the key of an unfinished training ({error})") from None
    with open(descriptor, "rb") as file:
        # Of the open file: the name could belong to another file by now.
        status = os.fstat(descriptor)
        key = file.read(KEY_BYTES + 1)
    if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.getuid():
        raise InputError(f"{path}: a key that other users can reach protects nobody; expected mode 600")
    if len(key) != KEY_BYTES:
        raise InputError(f"{path}: expected a key of {KEY_BYTES} bytes, found {status.st_size}")
    # A process that is killed within `destroy` leaves zeros, which everybody knows.
    if not any(key):
        raise InputError(f"{path}: this key was overwritten at the end of its training")
    return Noise(key, secret=True)


def destroy(path: Path) -> None:
    """Overwrite and remove a key file, if there is one.

    Raises:
        InputError: the file cannot be overwritten or removed.

    Guarantee:
        The file's bytes are zero on disk before its name goes. File systems that copy on write, snapshots and
        backups may keep the old block.
    """
    try:
        # A link is not followed: the bytes of another file would be overwritten.
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        with open(descriptor, "wb") as file:
            file.write(bytes(max(KEY_BYTES, os.fstat(descriptor).st_size)))
            file.flush()
            # On disk before the name goes: without it, the key could outlive its file there.
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
    """Sync a file's folder: without it, a crash can undo that a name was added or removed."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reproducible(stream: Stream) -> Noise:
    """Noise from the seed tree, for tests and rehearsals: whoever has the seed can subtract it."""
    return Noise(stream.generate_state(KEY_BYTES // 4, np.uint32).astype("<u4").tobytes(), secret=False)


def encode_path(*path: str | int) -> bytes:
    """Bytes of a path: type, length and text of each part, so that no two paths have the same bytes.

    Examples:
        >>> encode_path("ab", "c") == encode_path("a", "bc")
        False
    """
    parts = []
    for part in path:
        text = part.encode() if isinstance(part, str) else str(int(part)).encode()
        kind = b"s" if isinstance(part, str) else b"i"
        parts.append(kind + len(text).to_bytes(4, "big") + text)
    return b"".join(parts)


def hkdf_extract(salt: bytes, key: bytes) -> bytes:
    """Pseudorandom key (32 bytes) from key material. Source: RFC 5869, section 2.2, with SHA-256."""
    return hmac.digest(salt, key, hashlib.sha256)


def hkdf_expand(root: bytes, info: bytes, length: int) -> bytes:
    """Derive `length` bytes (at most 8,160) for one use `info`.

    Raises:
        ValueError: `length` is above 8,160.

    Source: RFC 5869, section 2.3, with SHA-256.
    """
    if length > _BLOCK_BYTES:
        raise ValueError(f"HKDF gives at most {_BLOCK_BYTES} bytes for one use, not {length}")
    block, output = b"", b""
    for counter in range(1, math.ceil(length / _HASH_BYTES) + 1):
        block = hmac.digest(root, block + info + bytes([counter]), hashlib.sha256)
        output += block
    return output[:length]
