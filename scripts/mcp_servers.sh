#!/bin/sh
# Get the public MCP servers and clients that make mcp-servers tries, as the locks name them; nothing happens where they are.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd -P)
locks="$top/requirements-mcp-servers.lock $top/scripts/mcp_servers/package-lock.json"
folder=$top/.make/mcp-servers
# shellcheck disable=SC2086  # two files
named=$(cat $locks | cksum | tr -d ' ')

if [ "$(cat "$folder/complete" 2>/dev/null || true)" = "$named" ]; then exit 0; fi
if ! command -v npm >/dev/null 2>&1; then
    echo "make mcp-servers needs Node 20 or newer, with npm. Install it in this system's usual way." >&2
    exit 1
fi
echo "Getting the MCP servers of requirements-mcp-servers.lock and scripts/mcp_servers/ ..." >&2
mkdir -p "$top/.make"
new=$(mktemp -d "$top/.make/mcp-servers.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# What these packages need is in the project's own environment.
"$top/.venv/bin/python" -m pip --quiet --disable-pip-version-check install --no-deps --require-hashes \
    --target "$new/python" --requirement "$top/requirements-mcp-servers.lock"
cp "$top/scripts/mcp_servers/package.json" "$top/scripts/mcp_servers/package-lock.json" "$new/"
(cd "$new" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
printf '%s\n' "$named" >"$new/complete"
chmod 755 "$new"
rm -rf "$folder"
mv "$new" "$folder"
