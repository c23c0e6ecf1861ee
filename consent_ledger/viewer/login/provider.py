"""An OpenID Connect provider, as this relying party sees it (OpenID Connect Core 1.0; NL GOV profile for OIDC).

Authorization code with PKCE (S256), nonce and state; the level of assurance asked for is the level checked. An answer
that does not check raises LoginError with a reason; texts of the provider are never shown or logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from consent_ledger.viewer.session import Attempt

Failure = Literal["cancelled", "level", "unreachable", "failed"]
ALGORITHMS = ["PS256", "RS256", "ES256", "EdDSA"]
_LEEWAY_SECONDS = 60
_TIMEOUT_SECONDS = 10.0
_CANCELLED = frozenset({"access_denied", "login_required", "interaction_required"})


class LoginError(Exception):
    """A login that did not come about; ``reason`` is what the visitor is told."""

    def __init__(self, reason: Failure, detail: str) -> None:
        """``detail`` is ours and holds nothing of anybody."""
        super().__init__(detail)
        self.reason: Failure = reason


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """How this viewer is known at the provider. Either a secret or a private key (PEM) proves that it is the client.

    ``levels`` are the acceptable ``acr`` values; ``claims`` says where in the ID token each part of an identifier is
    (dots lead into objects).
    """

    issuer: str
    client_id: str
    levels: tuple[str, ...]
    secret: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    scope: str = "openid"
    userinfo: bool = False  # the identifier is at the userinfo endpoint and not in the ID token
    claims: Mapping[str, str] = field(default_factory=dict)
    represents: str = "represents"  # the claim that holds the represented resident


class Provider:
    """Speaks with one provider; what it publishes is read at the first login and its keys again when one is unknown."""

    def __init__(self, settings: OidcSettings, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        """Be the client of these settings."""
        self.settings = settings
        self._transport = transport
        self._metadata: dict[str, Any] | None = None
        self._keys: KeySet | None = None

    async def begin(self, attempt: Attempt, redirect_uri: str, language: str) -> str:
        """Return the address at the provider where the visitor logs in."""
        metadata = await self._discovered()
        async with self._client(redirect_uri) as client:
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=attempt.state,
                code_verifier=attempt.verifier,
                nonce=attempt.nonce,
                acr_values=" ".join(self.settings.levels),
                ui_locales=language,
            )
        return cast("str", url)

    async def finish(
        self, attempt: Attempt, answer: Mapping[str, str], redirect_uri: str, now_ms: int
    ) -> dict[str, Any]:
        """Return the verified claims of who came back; raises LoginError."""
        if answer.get("state") != attempt.state:
            raise LoginError("failed", "the state is not of this login")
        if error := answer.get("error"):
            raise LoginError("cancelled" if error in _CANCELLED else "failed", "the provider answered with an error")
        metadata = await self._discovered()
        if answer.get("iss", self.settings.issuer) != self.settings.issuer:
            raise LoginError("failed", "the answer is of another issuer (RFC 9207)")
        async with self._client(redirect_uri) as client:
            try:
                token = await client.fetch_token(
                    metadata["token_endpoint"], code=answer.get("code", ""), code_verifier=attempt.verifier
                )
            except httpx2.HTTPError:
                raise LoginError("unreachable", "the token endpoint did not answer") from None
            except (OAuthError, ValueError):
                raise LoginError("failed", "the token endpoint refused the code") from None
            claims = await self._verified(str(token.get("id_token", "")), attempt, now_ms)
            return await self._with_userinfo(client, claims) if self.settings.userinfo else claims

    async def logout_url(self, back: str) -> str:
        """Return where one logs out of the provider as well; "" when it has no such address or does not answer."""
        try:
            endpoint = (await self._discovered()).get("end_session_endpoint", "")
        except LoginError:
            return ""
        query = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back}
        return str(httpx2.URL(endpoint, params=query)) if endpoint else ""

    async def _verified(self, id_token: str, attempt: Attempt, now_ms: int) -> dict[str, Any]:
        claims = await self._opened(id_token)
        rules = jwt.JWTClaimsRegistry(
            now=now_ms // 1000,
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": attempt.nonce},
        )
        try:
            rules.validate(claims)
        except JoseError as error:
            raise LoginError("failed", f"the ID token does not check: {type(error).__name__}") from None
        if claims.get("azp", self.settings.client_id) != self.settings.client_id:
            raise LoginError("failed", "the ID token is for another party")
        if claims.get("acr") not in self.settings.levels:
            raise LoginError("level", "the level of assurance is too low")
        return claims

    async def _opened(self, id_token: str) -> dict[str, Any]:
        """Return the claims under a signature of the provider; a key it published since is fetched once."""
        for fresh in (False, True):
            keys = await self._published(fresh=fresh)
            try:
                return dict(jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims)
            except (JoseError, ValueError):
                continue
        raise LoginError("failed", "the ID token's signature does not check")

    async def _with_userinfo(self, client: AsyncOAuth2Client, claims: dict[str, Any]) -> dict[str, Any]:
        try:
            response = await client.get((await self._discovered())["userinfo_endpoint"])
            found = response.raise_for_status().json()
        except (httpx2.HTTPError, ValueError, KeyError):
            raise LoginError("unreachable", "the userinfo endpoint did not answer") from None
        if found.get("sub") != claims["sub"]:
            raise LoginError("failed", "the userinfo is about somebody else")
        return {**found, **claims}

    async def _discovered(self) -> dict[str, Any]:
        if self._metadata is None:
            found = await self._read(f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.settings.issuer:
                raise LoginError("failed", "the provider calls itself otherwise than the settings do")
            self._metadata = found
        return self._metadata

    async def _published(self, *, fresh: bool) -> KeySet:
        if self._keys is None or fresh:
            self._keys = KeySet.import_key_set(await self._read((await self._discovered())["jwks_uri"]))
        return self._keys

    async def _read(self, url: str) -> Any:
        try:
            async with httpx2.AsyncClient(transport=self._transport, timeout=_TIMEOUT_SECONDS) as client:
                return (await client.get(url)).raise_for_status().json()
        except (httpx2.HTTPError, ValueError):
            raise LoginError("unreachable", "the provider does not answer") from None

    def _client(self, redirect_uri: str) -> AsyncOAuth2Client:
        secret, method = self.settings.secret, "client_secret_basic"
        if self.settings.private_key:
            secret, method = self.settings.private_key, "private_key_jwt"
        client = AsyncOAuth2Client(
            self.settings.client_id,
            secret,
            token_endpoint_auth_method=method,
            scope=self.settings.scope,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            transport=self._transport,
            timeout=_TIMEOUT_SECONDS,
        )
        if self.settings.private_key:
            client.register_client_auth_method(PrivateKeyJWT(alg="PS256"))
        return client
