"""Odd server: speaks the protocol by hand, and lists and answers what no good server would; an argument says what."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

GOOD = {"name": "good", "description": "A good one.", "inputSchema": {"type": "object", "properties": {}}}
LISTS: dict[str, list[Any]] = {
    "malformed": [
        GOOD,
        {"name": "no schema"},
        {"name": "array", "inputSchema": {"type": "array"}},
        {"name": "far", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}},
        {"name": "unsound", "inputSchema": {"type": "object", "properties": {"a": {"type": "nonsense"}}}},
        {"inputSchema": {"type": "object"}},
        "no object",
        GOOD,
    ],
    "many": [{**GOOD, "name": f"tool {number}"} for number in range(600)],
    "circle": [GOOD],
    "answers": [
        {**GOOD, "outputSchema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}}
    ],
}
ANSWER = {
    "content": [
        {"type": "text", "text": "It is done."},
        {"type": "hologram", "data": "x"},
        {"type": "image", "data": "%%%", "mimeType": "image/png"},
        {"type": "resource_link", "name": "page", "uri": "file:///etc/passwd"},
        {"type": "resource", "resource": {"uri": "../../x", "blob": "aGVsbG8=", "mimeType": "text/../csv"}},
    ],
    "structuredContent": {"a": "no number"},
}


def schema(*names: str, **kinds: str) -> dict[str, Any]:
    fields = {name: {"type": kinds.get(name, "string")} for name in (*names, *kinds)}
    return {"type": "object", "properties": fields, "required": list(names), "additionalProperties": False}


LISTS["plain"] = [
    {"name": "add", "description": "Add.", "inputSchema": schema("a", "b", a="integer", b="integer")}
    | {"annotations": {"readOnlyHint": True, "idempotentHint": True}},
    {"name": "note", "inputSchema": schema("text", config="string", run_manager="string")},
    {"name": "fail", "inputSchema": schema("why")},
    {"name": "slow", "inputSchema": schema("seconds", seconds="number")},
    {"name": "die", "inputSchema": schema("text")},
    {"name": "draw", "inputSchema": schema()},
    {"name": "environment", "inputSchema": schema()},
]
PNG = b"\x89PNG\r\n\x1a\n" + b"picture"


def called(name: str, args: dict[str, Any]) -> dict[str, Any]:
    """What a tool of the plain kind answers."""
    if name in ("note", "die"):
        with Path(os.environ["DEMO_LOG"]).open("a") as log:
            log.write("".join(args.get(key, "") for key in ("text", "config", "run_manager")) + "\n")
    match name:
        case "add":
            return {"content": [], "structuredContent": {"total": args["a"] + args["b"]}}
        case "fail":
            return {"content": [{"type": "text", "text": f"it failed: {args['why']}"}], "isError": True}
        case "die":
            os._exit(3)
        case "slow":
            time.sleep(args["seconds"])
        case "draw":
            data = base64.b64encode(PNG).decode()
            return {"content": [{"type": "image", "data": data, "mimeType": "image/png"}]}
    text = f"{sorted(os.environ)} {os.environ.get('TOKEN')}" if name == "environment" else f"{name} done"
    return {"content": [{"type": "text", "text": text}]}


def answer_to(request: dict[str, Any], kind: str) -> Any:
    match request["method"]:
        case "initialize":
            info = {"name": "odd", "version": "1"}
            version = request["params"]["protocolVersion"]
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
        case "tools/list":
            more = {"nextCursor": "again"} if kind == "circle" else {}
            return {"tools": LISTS[kind], **more}
        case "tools/call" if kind == "plain":
            return called(request["params"]["name"], request["params"].get("arguments") or {})
        case "tools/call":
            return ANSWER
        case _:
            return None


def main() -> None:
    kind = sys.argv[1]
    sys.stdout.write("a line of noise\n")
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue
        found = answer_to(request, kind)
        said = {"jsonrpc": "2.0", "id": request["id"]}
        said |= {"error": {"code": -32601, "message": "unknown"}} if found is None else {"result": found}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
