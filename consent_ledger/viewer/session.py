"""Sessions: kept at the server, sealed under a key that only the visitor's cookie holds.

Whoever reads the store learns how many people are logged in, not who. The cookie is 32 random bytes; the store's key is
one hash of it and the sealing key another, so that neither gives the other. A login begins with a new cookie (no
fixation). Somebody who only reads public pages gets none.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent_ledger.clock import Clock
from consent_ledger.v1 import consents_pb2

IDLE_MS = 30 * 60_000
LONGEST_MS = 4 * 3_600_000
LOGIN_MS = 10 * 60_000
"""How long somebody may take at the login service."""
_TOUCH_MS = 60_000
_NONCE = 12
_SECRET = 32

Role = Literal["self", "representative", "desk"]
Right = Literal["look", "stop", "choose", "own"]
"""Each includes those before it: look at everything; say no, stop and pause; say yes, resume, answer, set preferences;
and what only the resident does: representatives, confirming, erasing (proto Mandate)."""
RIGHTS: tuple[Right, ...] = ("look", "stop", "choose", "own")
ALL_RIGHTS: frozenset[Right] = frozenset(RIGHTS)


def rights_up_to(right: Right) -> frozenset[Right]:
    """Return a right and those it includes."""
    return frozenset(RIGHTS[: RIGHTS.index(right) + 1])


class SessionStore(Protocol):
    """Where sealed sessions are; shared by every viewer process behind one address."""

    async def read(self, key: bytes) -> bytes | None:
        """Return the sealed session, or None."""
        ...

    async def write(self, key: bytes, sealed: bytes, expires_ms: int) -> None:
        """Store it, over what was there."""
        ...

    async def delete(self, key: bytes) -> None:
        """Forget it."""
        ...


class MemoryStore:
    """Sessions of one process, for tests and demonstrations; the oldest make room beyond ``most``."""

    def __init__(self, most: int = 10_000) -> None:
        """Begin empty."""
        self.sealed: dict[bytes, bytes] = {}
        self._most = most

    async def read(self, key: bytes) -> bytes | None:
        """Return the sealed session, or None."""
        return self.sealed.get(key)

    async def write(self, key: bytes, sealed: bytes, expires_ms: int) -> None:  # noqa: ARG002  (it ends with the process)
        """Store it."""
        self.sealed[key] = sealed
        while len(self.sealed) > self._most:
            self.sealed.pop(next(iter(self.sealed)))

    async def delete(self, key: bytes) -> None:
        """Forget it."""
        self.sealed.pop(key, None)


@dataclass(frozen=True, slots=True)
class Resident:
    """Whose pages these are and who looks at them. ``rows`` are all that is left of the identifier.

    ``role`` is how the visitor acts, ``may`` what they may do (routing.needs); the ledger checks it again. ``by`` is
    how the ledger knows them: of a representative the reference of the representation, in hexadecimal; "" for the
    resident.
    """

    rows: tuple[consents_pb2.Rows, ...]
    role: Role = "self"
    may: frozenset[Right] = ALL_RIGHTS
    by: str = ""

    @property
    def purposes(self) -> frozenset[str]:
        """The purposes these rows are about."""
        return frozenset(row.purpose for row in self.rows)


class Attempt(msgspec.Struct, frozen=True):
    """A login that is under way: what the answer of the login service must match."""

    state: str
    nonce: str
    verifier: str
    then: str
    began_ms: int


class Notice(msgspec.Struct, frozen=True):
    """What the next page says first: the text's id and its values."""

    kind: str
    key: str
    values: dict[str, str | int] = {}


class _Row(msgspec.Struct, frozen=True):
    purpose: str
    elements: list[bytes]


class _Stored(msgspec.Struct):
    began_ms: int
    seen_ms: int
    attempt: Attempt | None = None
    notice: Notice | None = None
    rows: list[_Row] | None = None
    role: Role = "self"
    may: list[Right] = []
    by: str = ""
    memory: dict[str, str] = {}


@dataclass(slots=True)
class Session:
    """What is remembered of one visitor, for the length of a visit. Changes are stored before the answer is sent."""

    began_ms: int
    seen_ms: int
    secret: bytes = b""
    attempt: Attempt | None = None
    resident: Resident | None = None
    memory: dict[str, str] = field(default_factory=dict)  # small things between two pages: never an identifier
    notice: Notice | None = None
    changed: bool = False
    replaced: bytes = b""

    def say(self, kind: str, key: str, **values: str | int) -> None:
        """Let the next page begin with a notice of this kind ("ok", "info", "let_op")."""
        self.notice, self.changed = Notice(kind, key, values), True

    def take_notice(self) -> Notice | None:
        """Return what is to be said, once."""
        if self.notice is None:
            return None
        notice, self.notice, self.changed = self.notice, None, True
        return notice

    def remember(self, name: str, value: str) -> None:
        """Keep a small thing for the pages to come, sealed as the rest."""
        self.memory[name], self.changed = value, True

    def forget(self, name: str) -> str:
        """Return what was remembered, "" when nothing was, and keep it no longer."""
        self.changed = self.changed or name in self.memory
        return self.memory.pop(name, "")

    def begin_login(self, attempt: Attempt) -> None:
        """Remember what the login service's answer must match."""
        self.attempt, self.changed = attempt, True

    def end_login(self) -> Attempt | None:
        """Return the login that is under way, once: an answer that comes twice meets none."""
        self.changed = self.changed or self.attempt is not None
        attempt, self.attempt = self.attempt, None
        return attempt

    def log_in(self, resident: Resident, now_ms: int) -> None:
        """Become this resident's session, under a new cookie."""
        self.replaced, self.secret = self.replaced or self.secret, b""
        self.attempt, self.resident, self.memory = None, resident, {}
        self.began_ms = self.seen_ms = now_ms
        self.changed = True

    def log_out(self) -> None:
        """Forget everything."""
        self.replaced, self.secret = self.replaced or self.secret, b""
        self.attempt = self.resident = self.notice = None
        self.memory, self.changed = {}, True

    @property
    def empty(self) -> bool:
        """Tell whether there is nothing to keep."""
        return not (self.attempt or self.resident or self.notice or self.memory)


class Sessions:
    """Reads and writes sessions."""

    def __init__(self, store: SessionStore, clock: Clock, rng: Callable[[int], bytes] = os.urandom) -> None:
        """Keep them in ``store``."""
        self._store, self._clock, self._rng = store, clock, rng

    async def load(self, cookie: str) -> Session:
        """Return the session of a cookie; a new one when it is none, over, or not ours."""
        secret = _secret_of(cookie)
        sealed = await self._store.read(_key(secret)) if secret else None
        session = self._open(secret, sealed) if sealed else None
        return session or Session(self._clock(), self._clock())

    async def save(self, session: Session) -> str | None:
        """Store what changed; returns the cookie to set, "" to remove it, None to leave it."""
        if session.replaced:
            await self._store.delete(_key(session.replaced))
        now = self._clock()
        if session.empty:
            if session.secret:
                await self._store.delete(_key(session.secret))
            return "" if session.secret or session.replaced else None
        if not session.changed and now - session.seen_ms < _TOUCH_MS:
            return None
        new = not session.secret
        session.secret = session.secret or self._rng(_SECRET)
        session.seen_ms = now
        await self._store.write(_key(session.secret), self._seal(session), _ends(session))
        return base64.urlsafe_b64encode(session.secret).decode().rstrip("=") if new else None

    def _open(self, secret: bytes, sealed: bytes) -> Session | None:
        try:
            plain = AESGCM(_derived(secret, b"seal")).decrypt(sealed[:_NONCE], sealed[_NONCE:], _key(secret))
            stored = msgspec.msgpack.decode(plain, type=_Stored)
        except (InvalidTag, msgspec.DecodeError, ValueError):
            return None  # not ours, or of another version of this program: as if it were over
        session = Session(stored.began_ms, stored.seen_ms, secret, stored.attempt)
        session.resident = _resident(stored)
        session.memory, session.notice = stored.memory, stored.notice
        return session if self._clock() < _ends(session) else None

    def _seal(self, session: Session) -> bytes:
        nonce = self._rng(_NONCE)
        plain = msgspec.msgpack.encode(_stored(session))
        return nonce + AESGCM(_derived(session.secret, b"seal")).encrypt(nonce, plain, _key(session.secret))


def _ends(session: Session) -> int:
    if session.resident is None:
        return session.seen_ms + LOGIN_MS
    return min(session.seen_ms + IDLE_MS, session.began_ms + LONGEST_MS)


def _stored(session: Session) -> _Stored:
    stored = _Stored(session.began_ms, session.seen_ms, session.attempt, session.notice, memory=session.memory)
    if resident := session.resident:
        stored.rows, stored.may = _packed(resident.rows), sorted(resident.may)
        stored.role, stored.by = resident.role, resident.by
    return stored


def _resident(stored: _Stored) -> Resident | None:
    if stored.rows is None:
        return None
    return Resident(_unpacked(stored.rows), stored.role, frozenset(stored.may), stored.by)


def _packed(rows: tuple[consents_pb2.Rows, ...]) -> list[_Row]:
    return [_Row(row.purpose, list(row.elements)) for row in rows]


def _unpacked(rows: list[_Row]) -> tuple[consents_pb2.Rows, ...]:
    return tuple(consents_pb2.Rows(purpose=row.purpose, elements=row.elements) for row in rows)


def _secret_of(cookie: str) -> bytes:
    try:
        secret = base64.b64decode(cookie + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return secret if len(secret) == _SECRET else b""


def _key(secret: bytes) -> bytes:
    return sha256(b"regie/session/id/v1" + secret).digest()


def _derived(secret: bytes, label: bytes) -> bytes:
    return hmac.new(secret, b"regie/session/v1" + label, "sha256").digest()
