"""The page, the files it is made of, and the list of what the server can do. None of it needs the network."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from regard.server.refusals import Refusal

# Scripts and styles come from this server alone, and the page talks to it alone.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
METHODS = ("get", "post", "put", "delete", "patch")


def routes() -> APIRouter:
    """`/`, `/page/FILE`, `/view/FILE`, `/docs`."""
    router = APIRouter(include_in_schema=False)
    page = files("regard.server").joinpath("page")
    view = files("regard.view")

    @router.get("/")
    async def home() -> Response:
        index = page.joinpath("index.html")
        return _file(page, "index.html") if index.is_file() else RedirectResponse("docs")

    @router.get("/page/{name}")
    async def page_file(name: str) -> Response:
        return _file(page, name)

    @router.get("/view/{name}")
    async def view_file(name: str) -> Response:
        return _file(view, name, (".js", ".css"))

    @router.get("/docs")
    async def docs(request: Request) -> Response:
        return _html(documentation(request.app.openapi()), "default-src 'none'; style-src 'unsafe-inline'")

    return router


def _file(folder: Traversable, name: str, endings: Iterable[str] = tuple(TYPES)) -> Response:
    """A file that lies in the folder itself. Names are compared, never joined to a path, so there is no way out."""
    for each in folder.iterdir() if folder.is_dir() else ():
        ending = "." + each.name.rpartition(".")[2]
        if each.name == name and ending in endings and each.is_file():
            headers = {"Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
            return Response(each.read_bytes(), media_type=TYPES[ending], headers=headers)
    raise Refusal(404, f"there is no file {name[:100]!r} here")


def _html(text: str, policy: str) -> Response:
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
    return HTMLResponse(text, headers=headers)


def documentation(api: dict[str, Any]) -> str:
    """The OpenAPI of the server as a page to read, without a script."""
    parts = []
    for path, methods in api["paths"].items():
        for method, what in methods.items():
            if method not in METHODS:
                continue
            parts.append(f"<section><h2><b>{method.upper()}</b> <code>{html.escape(path)}</code></h2>")
            for text in (what.get("summary"), what.get("description")):
                parts.append(f"<p>{html.escape(text)}</p>" if text else "")
            for kind, content in what.get("requestBody", {}).get("content", {}).items():
                parts.append(_schema(content.get("schema", {}), kind, api))
            parts.append("</section>")
    title = html.escape(api["info"]["title"])
    about = html.escape(api["info"].get("description", ""))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
h2 {{ font-size: 1.1rem; margin: 2rem 0 .3rem; border-top: 1px solid #8886; padding-top: 1rem }}
h2 b {{ display: inline-block; min-width: 3.5rem }}
p {{ margin: .3rem 0; white-space: pre-line }}
table {{ border-collapse: collapse; margin: .6rem 0 }} td, th {{ text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0 }}
th {{ font-weight: 600 }} pre {{ overflow-x: auto; padding: .7rem; background: #8882; border-radius: .3rem }}
div {{ overflow-x: auto }}
</style></head><body>
<h1>{title}</h1><p>{about}</p>
<p>The same for programs: <a href="openapi.json">openapi.json</a></p>
{"".join(parts)}
</body></html>
"""


def _schema(schema: dict[str, Any], kind: str, api: dict[str, Any]) -> str:
    schema = _resolved(schema, api)
    rows = []
    for name, field in schema.get("properties", {}).items():
        needed = " (needed)" if name in schema.get("required", []) else ""
        default = json.dumps(field["default"]) if field.get("default") is not None else ""
        cells = (name + needed, _type(field), default, field.get("description", ""))
        rows.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>")
    head = "<tr><th>key</th><th>type</th><th>default</th><th>meaning</th></tr>"
    table = f"<div><table>{head}{''.join(rows)}</table></div>" if rows else ""
    return f"<p><code>{html.escape(kind)}</code></p>{table}"


def _resolved(schema: dict[str, Any], api: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return api.get("components", {}).get("schemas", {}).get(name, schema) if name else schema


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(each) for each in field["anyOf"] if each.get("type") != "null")
    if "$ref" in field:
        return "object"
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return str(field.get("type", "any"))
