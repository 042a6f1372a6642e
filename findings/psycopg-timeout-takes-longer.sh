#!/usr/bin/env bash
# psycopg 3.3.9 (binary): where a server stands still, asyncio.timeout(1) around `await connection.execute()` of an async
# connection ends after 11 s, and a task that is cancelled after 10 s. Before psycopg lets the cancellation on, it asks
# the same server to cancel the statement, over a new connection, for up to 5 s, and then waits for the statement's end
# for up to 5 s; after that it closes the connection. So a limit of one's own is exceeded by 10 s, with nothing said but
# a warning in the log. The server here is a listener that greets as Postgres does and then says nothing.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install 'psycopg[binary]==3.3.9' >&2
cat > "$folder/run.py" <<'PY'
import asyncio
import struct
import time

import psycopg


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


GREETING = (
    message(b"R", struct.pack("!I", 0))
    + message(b"S", b"client_encoding\0UTF8\0")
    + message(b"S", b"server_version\0" + b"17.0\0")
    + message(b"K", struct.pack("!II", 1, 2))
    + message(b"Z", b"I")
)
cancels = 0


async def stand_still(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    global cancels
    while True:
        length = struct.unpack("!I", await reader.readexactly(4))[0]
        code = struct.unpack("!I", (await reader.readexactly(length - 4))[:4])[0]
        if code == 80877103 or code == 80877104:  # may it be encrypted?
            writer.write(b"N")
            continue
        break
    if code == 80877102:  # cancel a statement: never answered
        cancels += 1
    else:
        writer.write(GREETING)
    await asyncio.sleep(3600)


async def main() -> None:
    server = await asyncio.start_server(stand_still, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = await psycopg.AsyncConnection.connect(
        host="127.0.0.1", port=port, user="me", dbname="it", autocommit=True
    )
    began = time.monotonic()
    try:
        async with asyncio.timeout(1):
            await connection.execute("SELECT 1")
    except TimeoutError:
        print("a limit of 1 s ended after", round(time.monotonic() - began), "s")
    connection.pgconn.finish()
    connection = await psycopg.AsyncConnection.connect(
        host="127.0.0.1", port=port, user="me", dbname="it", autocommit=True
    )
    task = asyncio.create_task(connection.execute("SELECT 1"))
    await asyncio.sleep(0.5)
    began = time.monotonic()
    task.cancel()
    await asyncio.wait([task])
    print("a cancelled task ended after", round(time.monotonic() - began), "s")
    print("requests to cancel", cancels)
    connection.pgconn.finish()


asyncio.run(main())
PY
seen=$(timeout 60 "$folder/venv/bin/python" -W ignore "$folder/run.py" 2>/dev/null || true)
printf '%s\n' "$seen"
wanted="a limit of 1 s ended after 11 s
a cancelled task ended after 10 s
requests to cancel 2"
[ "$seen" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
