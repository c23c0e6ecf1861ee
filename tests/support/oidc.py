"""A login service in memory, which can also answer wrongly: for what a well-behaved mock never does.

service = LoginService({"sub": "pairwise", "acr": SUBSTANTIAL, "bsn": "999990019"})
client = viewer_client(portal, login=OidcLogin(service.settings(), service.transport))
response = service.log_in(client)      # follows the browser to the service and back
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from starlette.testclient import TestClient

from consent_ledger.viewer.login.provider import OidcSettings
from tests.support.ledger import Time

ISSUER = "https://login.example"
CLIENT_ID = "regie"
SUBSTANTIAL, HIGH, LOW = (f"http://eidas.europa.eu/LoA/{level}" for level in ("substantial", "high", "low"))


class LoginService:
    """One provider; ``wrong`` overrides claims of the ID token, None leaves one out."""

    def __init__(self, claims: dict[str, Any], clock: Time) -> None:
        self.claims, self.clock = claims, clock
        self.wrong: dict[str, Any] = {}
        self.key = ECKey.generate_key("P-256", {"kid": "one"})
        self.published = [self.key]
        self.sign: Callable[[dict[str, Any]], str] = self._signed
        self.asked: dict[str, str] = {}
        self.token_requests: list[httpx2.Request] = []
        self.userinfo: dict[str, Any] = {}
        self.reachable = True
        self.transport = httpx2.MockTransport(self._answer)

    def settings(self, **more: Any) -> OidcSettings:
        proof = {} if "private_key" in more else {"secret": "secret of the client"}
        return OidcSettings(ISSUER, CLIENT_ID, (SUBSTANTIAL, HIGH), **{**proof, **more})

    def begin(self, client: TestClient, then: str = "", language: str = "nl") -> dict[str, str]:
        """Go to the service; returns what the viewer asked for."""
        response = client.get(f"/{language}/inloggen/dienst", params={"naar": then} if then else {})
        assert response.status_code == 303, response.text
        url = urlsplit(response.headers["location"])
        assert f"{url.scheme}://{url.netloc}{url.path}" == f"{ISSUER}/authorize"
        self.asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        return self.asked

    def back(self, client: TestClient, language: str = "nl", **answer: str) -> httpx2.Response:
        """Come back from the service."""
        params = answer or {"code": "a code", "state": self.asked["state"], "iss": ISSUER}
        return client.get(f"/{language}/inloggen/terug", params=params)

    def log_in(self, client: TestClient, then: str = "") -> httpx2.Response:
        """Go there and come back."""
        self.begin(client, then)
        return self.back(client)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        if not self.reachable:
            raise httpx2.ConnectError("no route", request=request)
        match request.url.path:
            case "/.well-known/openid-configuration":
                names = ("authorize", "token", "userinfo", "logout")
                kinds = ("authorization", "token", "userinfo", "end_session")
                ends = {f"{kind}_endpoint": f"{ISSUER}/{name}" for kind, name in zip(kinds, names, strict=True)}
                return httpx2.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks", **ends})
            case "/jwks":
                return httpx2.Response(200, json=KeySet(self.published).as_dict(private=False))
            case "/token":
                self.token_requests.append(request)
                return httpx2.Response(200, json=self._token())
            case "/userinfo":
                return httpx2.Response(200, json=self.userinfo)
            case _:
                return httpx2.Response(404)

    def _token(self) -> dict[str, str]:
        now = self.clock() // 1000
        base = {"iss": ISSUER, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": self.asked.get("nonce", "")}
        claims = {name: value for name, value in (base | self.claims | self.wrong).items() if value is not None}
        return {"access_token": "t", "token_type": "Bearer", "id_token": self.sign(claims)}

    def _signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "ES256", "kid": self.key.kid}, claims, self.key)


def by_hand(header: dict[str, Any], claims: dict[str, Any], secret: bytes = b"") -> str:
    """Return a token as no library makes it: signed with HMAC-SHA256 under ``secret``, or not at all."""
    parts = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)]
    signature = hmac.new(secret, ".".join(parts).encode(), "sha256").digest() if secret else b""
    return ".".join([*parts, urlsafe_b64encode(signature).decode().rstrip("=")])


def client_key() -> RSAKey:
    """Return a key with which a client proves itself."""
    return RSAKey.generate_key(2048)
