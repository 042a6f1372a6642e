#!/usr/bin/env bash
# chromadb 1.5.9: an HttpClient opens two HTTP sessions of httpx, both without any time limit, so a call to a server
# that accepts and says nothing waits for ever; client.close(), and leaving its `with` block, closes neither of them.
# The documentation offers close() to "release all resources".
set -euo pipefail

folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install chromadb==1.5.9 >&2
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/chroma" run --host 127.0.0.1 --port "$port" --path "$folder/data" > "$folder/log" 2>&1 &
server=$!
cat > "$folder/run.py" <<'PY'
import gc
import sys
import time
import urllib.request

import chromadb
import httpx
from chromadb.config import Settings

port = int(sys.argv[1])
for _ in range(600):
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/heartbeat", timeout=5).close()
        break
    except OSError:
        time.sleep(0.1)
settings = Settings(anonymized_telemetry=False)
with chromadb.HttpClient(host="127.0.0.1", port=port, settings=settings) as client:
    client.get_or_create_collection("notes", embedding_function=None)
    sessions = [one for one in gc.get_objects() if type(one) is httpx.Client]
    print("sessions", len(sessions))
    print("time limits", sorted({str(value) for one in sessions for value in one.timeout.as_dict().values()}))
print("closed after the block", [one.is_closed for one in sessions])
client.close()
print("closed after close()", [one.is_closed for one in sessions])
PY
seen=$("$folder/venv/bin/python" "$folder/run.py" "$port" 2>/dev/null)
printf '%s\n' "$seen"
wanted="sessions 2
time limits ['None']
closed after the block [False, False]
closed after close() [False, False]"
[ "$seen" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
