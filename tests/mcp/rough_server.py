"""Rough server: speaks the protocol by hand; its tools flood, lie, ask in the middle of a call, and change its list."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

from tests.mcp.odd_server import schema

FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "description": "Whose table it is."},
        "guests": {"type": "integer", "minimum": 1},
    },
    "required": ["name", "guests"],
}
ONE = {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}
ASKS: dict[str, dict[str, Any]] = {
    "book": {"mode": "form", "message": "Which table?", "requestedSchema": FORM},
    "confirm": {"mode": "form", "message": "Really?", "requestedSchema": ONE},
    "sign_in": {"mode": "url", "message": "Sign in.", "url": "https://example.com/sign-in", "elicitationId": "e-1"},
    "unsound": {"mode": "form", "message": "What?", "requestedSchema": {"type": "object", "properties": {"a": 3}}},
}
SAMPLE = {
    "messages": [{"role": "user", "content": {"type": "text", "text": "What is the capital of Peru?"}}],
    "systemPrompt": "Answer with one word.",
    "maxTokens": 20,
}
READS = {"annotations": {"readOnlyHint": True}}


class RoughServer:
    """One session over standard input and output."""

    def __init__(self) -> None:
        self.extra = os.environ.get("EXTRA_TOOLS", "").split()
        self.gone: set[str] = set()
        self.altered = False
        self.numbers = count(1)
        self.saying = threading.Lock()
        self.asked_for: dict[str, queue.Queue[dict[str, Any]]] = {}
        self.log = Path(os.environ.get("DEMO_LOG", "/dev/null"))

    def tools(self) -> list[dict[str, Any]]:
        plain = ["pid", "wrong_id", "list_result", "flood_notices", "flood_bytes", "die"]
        found = [{"name": name, "inputSchema": schema()} for name in plain]
        found += [{"name": name, "inputSchema": schema("text")} for name in self.extra]
        note = schema("text") if not self.altered else schema("number", number="integer")
        found += [{"name": "note", "inputSchema": note}, {"name": "alter", "inputSchema": schema()}]
        found += [{"name": f"read_{name}", "inputSchema": schema(), **READS} for name in ASKS]
        found += [{"name": name, "inputSchema": schema()} for name in (*ASKS, "sample")]
        found += [{"name": "twice", "inputSchema": schema(), **READS}]
        found += [{"name": name, "inputSchema": schema("name")} for name in ("gain", "lose")]
        found += [{"name": name, "inputSchema": schema(), **READS} for name in ("look", "read_hang")]
        found += [{"name": "hang", "inputSchema": schema()}]
        loops = {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}}
        found += [{"name": "loops", "inputSchema": loops}]
        return [one for one in found if one["name"] not in self.gone]

    def say(self, message: dict[str, Any]) -> None:
        with self.saying:
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            sys.stdout.flush()

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Ask the client, and wait for what it answers."""
        key = f"ask-{next(self.numbers)}"
        self.asked_for[key] = queue.Queue()
        self.say({"id": key, "method": method, "params": params})
        return self.asked_for[key].get()

    def write(self, text: str) -> None:
        with self.log.open("a") as log:
            log.write(f"{text}\n")

    def call(self, name: str, args: dict[str, Any]) -> Any:
        read = name.removeprefix("read_")
        if read in ASKS:
            self.write(f"begun {name}")
            return {"asked": self.asked("elicitation/create", ASKS[read])}
        match name:
            case "twice":
                return {"asked": [self.asked("elicitation/create", ASKS["confirm"]) for _ in range(2)]}
            case "sample":
                return {"asked": self.asked("sampling/createMessage", SAMPLE)}
            case "pid" | "look":
                return {"pid": os.getpid()}
            case "alter":
                self.altered = True
                self.say({"method": "notifications/tools/list_changed"})
            case "gain" | "lose":
                (self.extra.append if name == "gain" else self.gone.add)(args["name"])
                self.say({"method": "notifications/tools/list_changed"})
            case _:
                self.work(name, args)
        return {"done": name}

    def asked(self, method: str, params: dict[str, Any]) -> Any:
        answer = self.ask(method, params)
        return answer.get("result", answer.get("error"))

    def work(self, name: str, args: dict[str, Any]) -> None:
        match name:
            case "hang" | "read_hang":
                self.write(name)
                if self.log.read_text().count(name) == 1:
                    time.sleep(600)
            case "die":
                self.write("died")
                os._exit(3)
            case "flood_notices":
                for number in range(30_000):
                    self.say({"method": "notifications/message", "params": {"level": "info", "data": f"line {number}"}})
            case "flood_bytes":
                while True:
                    sys.stdout.write("x" * 1_000_000)
            case _:
                self.write(args.get("text", name))

    def answer(self, request: dict[str, Any]) -> None:
        key, method, params = request["id"], request["method"], request.get("params") or {}
        match method:
            case "initialize":
                info = {"name": "rough", "version": "1"}
                capabilities = {"tools": {"listChanged": True}}
                version = params["protocolVersion"]
                result: Any = {"protocolVersion": version, "capabilities": capabilities, "serverInfo": info}
            case "tools/list":
                result = {"tools": self.tools()}
            case "tools/call":
                name = params["name"]
                if name not in {one["name"] for one in self.tools()}:
                    self.say({"id": key, "error": {"code": -32602, "message": f"There is no {name}"}})
                    return
                result = {"content": [], "structuredContent": self.call(name, params.get("arguments") or {})}
                key = 123_456 if name == "wrong_id" else key
                result = ["a", "list"] if name == "list_result" else result
            case _:
                self.say({"id": key, "error": {"code": -32601, "message": "unknown"}})
                return
        self.say({"id": key, "result": result})


def main() -> None:
    server = RoughServer()
    time.sleep(float(os.environ.get("START_S", "0")))
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("id") in server.asked_for:
            server.asked_for[request["id"]].put(request)
        elif "id" in request and "method" in request:
            threading.Thread(target=server.answer, args=[request], daemon=True).start()


if __name__ == "__main__":
    main()
