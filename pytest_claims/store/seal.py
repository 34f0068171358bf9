"""Seals: a message authentication code on every line that this user's runs write to evidence.

A fork can commit an evidence folder, or a whole `.pytest_cache`. It cannot forge seals: the key is 32 random bytes per user,
kept outside any repository. A caption without a valid seal is not used, but generated again.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import files
from pytest_claims.store.recipe import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SIZE = 32
"""The number of bytes of a key."""

SEAL = 16
"""The number of bytes of a seal. A forged seal is valid with a probability of 2⁻¹²⁸."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The secret key of a user; or of this process alone, if no key file can be kept."""

    secret: bytes = field(repr=False)
    note: str = ""
    """Why evidence with this key's seals cannot be used again; empty for a key that is kept in a file."""

    def seal(self, digest: str, values: Mapping[str, Any]) -> str:
        """The seal of `values` under the plan with `digest`. An entry `seal` in `values` is ignored."""
        text = digest + canonical({key: value for key, value in values.items() if key != "seal"})
        return hmac.new(self.secret, text.encode(), hashlib.sha256).digest()[:SEAL].hex()

    def holds(self, digest: str, values: Mapping[str, Any]) -> bool:
        """Whether `values` carry a valid seal."""
        given = values.get("seal")
        return isinstance(given, str) and hmac.compare_digest(given.encode(), self.seal(digest, values).encode())

    def draw(self, digest: str, seed: int, ids: Iterable[str], size: int) -> tuple[str, ...]:
        """A sample of `size` ids, sorted. It is always the same for this user, and nobody else can predict it."""
        chosen = heapq.nsmallest(
            size,
            ids,
            key=lambda name: hmac.new(self.secret, f"audit:{digest}:{seed}:{name}".encode(), hashlib.sha256).digest(),
        )
        return tuple(sorted(chosen))


def path() -> Path:
    """The path of the key file, in the folder that the XDG Base Directory Specification intends for state.

    Raises:
        RuntimeError: the user has no home folder.
    """
    stated = os.environ.get("XDG_STATE_HOME", "")
    # "All paths must be absolute; a relative path is to be ignored" (XDG Base Directory Specification 0.8).
    base = Path(stated) if Path(stated).is_absolute() else Path.home() / ".local" / "state"
    return base / "pytest-claims" / "key"


def load() -> Key:
    """This user's key. It is made on first use. If it cannot be kept, the key is for this process alone."""
    where = "its place"
    try:
        place = path()
        where = str(place)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Key(secret=_read(place) or _make(place))
    except (OSError, RuntimeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return Key(
            secret=secrets.token_bytes(SIZE),
            note=f"The evidence of this run will not be used again: the key {where} cannot be kept ({why}).",
        )


def _read(place: Path) -> bytes | None:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        handle = os.open(place, flags)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise RuntimeError("it is not a plain file")
        if hasattr(os, "getuid") and (facts.st_uid != os.getuid() or facts.st_mode & 0o077):
            raise RuntimeError("others can read it; chmod 600, or remove it")
        secret = file.read(SIZE + 1)
    if len(secret) != SIZE:
        raise RuntimeError(f"it does not hold {SIZE} bytes; remove it")
    return secret


def _make(place: Path) -> bytes:
    """The key after making the key file. If several processes make it at once, all use the key of the first."""
    files.write_whole(place, secrets.token_bytes(SIZE), private=True, keep=True)
    secret = _read(place)
    if secret is None:
        raise RuntimeError("it vanished")
    return secret
