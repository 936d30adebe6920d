"""GraphiQL, served from the package: no request leaves the machine."""

import gzip
from collections.abc import Callable
from importlib.resources import files
from mimetypes import guess_type

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_FILES = files("graphql_api.transport") / "graphiql"
_PLACEHOLDER = '<script type="application/json" id="orchestrator-config">{}</script>'
_HEADERS = {"content-security-policy": CONTENT_SECURITY_POLICY, "x-content-type-options": "nosniff"}
_FOREVER = "public, max-age=31536000, immutable"
_ENCODINGS = {"br": ".br", "gzip": ".gz"}


class GraphiQL:
    """The page and what it loads.

    Args:
        authorization: Makes the `Authorization` header that the page starts with, in development; None for no header.
    """

    def __init__(self, authorization: Callable[[], str] | None = None) -> None:
        self._authorization = authorization
        self._page = (_FILES / "index.html").read_text(encoding="utf-8")
        self._assets = {asset.name: asset.read_bytes() for asset in (_FILES / "assets").iterdir()}

    def routes(self) -> list[Route]:
        """Give the routes of what the page loads."""
        return [Route("/graphiql/assets/{name}", self.asset)]

    async def page(self, request: Request) -> Response:
        """Serve the page; it may hold a token, so nobody keeps it."""
        configuration: dict[str, object] = {
            "endpoint": request.url.path,
            "subscriptionEndpoint": request.url.path,
            "title": "IDE Orchestrator",
            "headers": None,
        }
        if self._authorization is not None:
            configuration["headers"] = {"Authorization": self._authorization()}
        filled = orjson.dumps(configuration).decode().replace("<", "\\u003c")
        html = self._page.replace(_PLACEHOLDER, _PLACEHOLDER.replace("{}", filled))
        return Response(html, headers={**_HEADERS, "cache-control": "no-store"}, media_type="text/html")

    async def asset(self, request: Request) -> Response:
        """Serve what the page loads, compressed as it was built."""
        name = request.path_params["name"]
        headers = {**_HEADERS, "cache-control": _FOREVER, "vary": "accept-encoding"}
        media_type = guess_type(name)[0] or "application/octet-stream"
        if name in self._assets and not name.endswith((".br", ".gz")):
            return Response(self._assets[name], headers=headers, media_type=media_type)
        accepted = _accepted_encodings(request)
        for encoding, ending in _ENCODINGS.items():
            if encoding in accepted and name + ending in self._assets:
                headers["content-encoding"] = encoding
                return Response(self._assets[name + ending], headers=headers, media_type=media_type)
        if f"{name}.gz" in self._assets:
            return Response(gzip.decompress(self._assets[f"{name}.gz"]), headers=headers, media_type=media_type)
        return Response(status_code=404)


def _accepted_encodings(request: Request) -> set[str]:
    """Read which encodings a client takes; `q=0` says that it does not."""
    accepted = set()
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, quality = part.partition(";")
        if quality.replace(" ", "").rstrip("0") not in {"q=", "q=0."}:
            accepted.add(name.strip())
    return accepted
