#!/bin/sh
# Resolve the dependencies of pyproject.toml into the lock files, for every platform and Python >= 3.11.
# Versions already locked are kept; UPGRADE=1 takes the newest, UPGRADE=NAME only that package's.
set -eu
cd "$(dirname "$0")/.."

if ! command -v uv >/dev/null 2>&1; then
    echo "make lock needs uv, which is not installed. Get it with: python3 -m pip install uv" >&2
    exit 1
fi

case "${UPGRADE:-}" in
'') upgrade= ;;
1) upgrade=--upgrade ;;
*) upgrade="--upgrade-package=$UPGRADE" ;;
esac

# No host and no path may reach the files: the project file is named relative to this folder, and whoever
# installs brings their own index.
compile() {
    output=$1
    shift
    # shellcheck disable=SC2086  # an empty $upgrade must vanish
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
        $upgrade "$@" --output-file "$output"
}

compile requirements.lock pyproject.toml
compile requirements-dev.lock --all-extras --group dev --constraints requirements.lock pyproject.toml
# What these need is in the environment of requirements-dev.lock, whose versions they must fit.
compile requirements-compat.lock --no-deps --group compat --constraints requirements-dev.lock
compile requirements-libraries.lock --no-deps --group libraries --constraints requirements-dev.lock
compile requirements-rivals.lock --no-deps --group rivals --constraints requirements-dev.lock
compile requirements-mcp-servers.lock --no-deps --group mcp-servers --constraints requirements-dev.lock
for lock in requirements.lock requirements-dev.lock requirements-compat.lock requirements-libraries.lock \
    requirements-rivals.lock requirements-mcp-servers.lock; do
    echo "$lock: $(grep -c '^[a-z0-9]' "$lock") packages"
done
