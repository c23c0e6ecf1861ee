"""Style sheets, scripts and pictures of this package, held in memory; their address changes with their content."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).parent / "static"
_FOR_EVER = "public, max-age=31536000, immutable"
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Static:
    """The files of ``static/``, and a municipality's own style sheet as ``thema.css``."""

    def __init__(self, theme: str = "", folder: Path = FOLDER, more: Mapping[str, bytes] | None = None) -> None:
        """Read them all; ``more`` are files that are made at the start (checking/program.py)."""
        self._files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
        self._files.update(more or {})
        if theme:
            self._files["thema.css"] = theme.encode()
        self._tags = {name: sha256(content).hexdigest()[:16] for name, content in self._files.items()}

    @property
    def themed(self) -> bool:
        """Tell whether there is a municipality's style sheet."""
        return "thema.css" in self._files

    def url(self, name: str) -> str:
        """Return a file's address; raises KeyError when there is no such file."""
        return f"/static/{self._tags[name]}/{name}"

    def content(self, name: str) -> bytes:
        """Return a file; raises KeyError."""
        return self._files[name]

    def route(self) -> Route:
        """Return the route that serves them."""
        return Route("/static/{tag}/{name}", self._serve, name="static")

    async def _serve(self, request: Request) -> Response:
        name = request.path_params["name"]
        if self._tags.get(name) != request.path_params["tag"]:
            raise HTTPException(404)
        kind = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(self._files[name], media_type=kind, headers={"Cache-Control": _FOR_EVER})
