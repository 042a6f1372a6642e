#!/bin/sh
# Set up .venv from requirements-dev.lock; nothing happens when it is already so.
#
# Installs system packages only as root on a machine with apt-get; otherwise names the command. Never calls sudo.
# PYTHON=... picks the interpreter; without it the newest suitable one on the PATH is taken.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$top"

venv=.venv
stamp=$venv/.set-up          # exists only beside a complete environment; says from which files it was made
unfinished=$venv/.unfinished # exists while the environment is being changed
lock=requirements-dev.lock

say() { printf '%s\n' "$*" >&2; }
die() {
    say "make setup: $1"
    shift
    for line in "$@"; do say "  $line"; done
    exit 1
}

digest() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi | cut -c 1-64
}

# What the environment depends on. The place counts because scripts and the editable install hold absolute paths.
wanted_packages() { { echo "$top"; cat "$lock"; } | digest; }
wanted_project() { cat pyproject.toml openmanus_graph/_version.py scripts/setup.sh | digest; }

installed() {
    [ -x "$venv/bin/openmanus-graph" ] && "$venv/bin/python" -I -c '
import importlib.util, sys
sys.exit(importlib.util.find_spec("openmanus_graph") is None)' >/dev/null 2>&1
}
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# ---------------------------------------------------------------- system packages

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >&2 9>&-
}

lists_present() {
    for list in /var/lib/apt/lists/*Packages*; do [ -e "$list" ] && return 0; done
    return 1
}

# Lists as old as the machine's image may name versions that the mirror no longer has: one retry after an update.
apt_install() {
    say "Installing with apt-get: $*"
    lists_present || apt update || return 1
    apt install -y --no-install-recommends "$@" || { apt update && apt install -y --no-install-recommends "$@"; }
}

# ---------------------------------------------------------------- the interpreter

suitable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
makes_venvs() { "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; }

# Sets `python` to the first candidate that is new enough and passes the test in $1.
pick() {
    for python in python3.14 python3.13 python3.12 python3.11 python3; do
        suitable "$python" && "$1" "$python" && return 0
    done
    return 1
}

install_python() {
    if may_install; then
        lists_present || apt update || true
        for minor in 14 13 12 11; do
            if apt-cache show "python3.$minor-venv" >/dev/null 2>&1; then
                apt_install "python3.$minor" "python3.$minor-venv" && pick makes_venvs && return 0
            fi
        done
    fi
    found=$(python3 --version 2>&1) || found='no python3 at all'
    die "Python 3.11 or newer is needed; this machine has $found." \
        "Debian 12 and later, Ubuntu 23.04 and later: sudo apt-get install python3 python3-venv" \
        "Ubuntu 22.04: sudo apt-get install python3.11 python3.11-venv" \
        "Elsewhere install it in your usual way and name it: make setup PYTHON=/path/to/python3"
}

install_venv_module() {
    package="python$(version_of "$python")-venv"
    if may_install && apt_install "$package" && makes_venvs "$python"; then return 0; fi
    die "$python cannot create virtual environments: its venv module is missing." \
        "Debian and Ubuntu: sudo apt-get install $package" \
        "Elsewhere install it in your usual way, or name another interpreter: make setup PYTHON=/path/to/python3"
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        python=$PYTHON
        suitable "$python" || die "PYTHON=$PYTHON is not a Python 3.11 or newer that runs." \
            "Name another one, or leave PYTHON out to have one found."
        makes_venvs "$python" || install_venv_module
    else
        pick makes_venvs || { pick true && install_venv_module; } || install_python
    fi
}

# ---------------------------------------------------------------- the environment

# A started change that nobody finished, an interpreter that is gone or replaced: only a new environment is sure.
must_rebuild() {
    [ -e "$unfinished" ] && return 0
    suitable "$venv/bin/python" || return 0
    present=$(version_of "$venv/bin/python")
    [ -d "$venv/lib/python$present" ] || return 0
    [ -n "${PYTHON:-}" ] && [ "$(version_of "$PYTHON")" != "$present" ]
}

create() {
    find_python
    say "Creating $venv with $("$python" --version) ..."
    rm -rf "$venv"
    mkdir "$venv"
    : >"$unfinished"
    "$python" -m venv "$venv" || die "$python could not create $top/$venv (its own words are above)."
}

pip() {
    env -u PYTHONPATH -u PYTHONHOME PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$venv/bin/python" -m pip --quiet "$@" >&2
}

install_packages() {
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null ||
        die "$venv has no pip and cannot get it." "Remove $top/$venv and run make setup again."
    say "Installing $(grep -c '^[a-z0-9]' "$lock") locked packages into $venv (a minute or two) ..."
    # The lock is complete, so nothing is left to resolve.
    pip install --no-deps --require-hashes --requirement "$lock" || failed_packages
}

failed_packages() {
    # pip takes back what it began when it fails by itself, so an environment that was complete still is.
    if [ -e "$stamp" ]; then rm -f "$unfinished"; fi
    die "the packages could not be installed; pip says why above." \
        "If it cannot reach a package index: the network, PIP_INDEX_URL or pip.conf decide which one it asks." \
        "If it finds no version for this machine: Debian and Ubuntu are what is tested; elsewhere a build may be missing." \
        "Then run make setup again."
}

install_project() {
    if pip install --no-deps --no-build-isolation --no-index --editable .; then return 0; fi
    rm -f "$unfinished"
    die "the project itself could not be installed; pip says why above." "Then run make setup again."
}

set_up() {
    if [ -e "$venv" ] && [ ! -w "$venv" ]; then
        die "$top/$venv belongs to another user." \
            "Remove it as that user, or clone the repository into a folder of your own."
    fi
    if must_rebuild; then create; fi
    : >"$unfinished"
    if [ "$packages" != "$(sed -n 1p "$stamp" 2>/dev/null)" ]; then
        install_packages
        printf '%s\n' "$packages" >"$stamp"
    fi
    install_project
    installed || die "the project was installed, but $venv does not find it." "Remove $venv and run make setup again."
    printf '%s\n%s\n' "$packages" "$project" >"$stamp"
    rm -f "$unfinished"
}

offer_bubblewrap() {
    command -v bwrap >/dev/null 2>&1 && return 0
    if may_install && apt_install bubblewrap; then return 0; fi
    say "bubblewrap is missing: shell and Python tools fall back to a weaker confinement, or are refused."
    if command -v apt-get >/dev/null 2>&1; then
        say "  Install it with: sudo apt-get install bubblewrap"
    else
        say "  Install the package bubblewrap with this system's package manager."
    fi
}

is_current() {
    [ -e "$stamp" ] && [ ! -e "$unfinished" ] &&
        [ "$(cat "$stamp")" = "$packages
$project" ] && { [ -z "${PYTHON:-}" ] || ! must_rebuild; } && installed
}

trap 'exit 130' INT
trap 'exit 143' TERM

packages=$(wanted_packages)
project=$(wanted_project)
if is_current; then exit 0; fi

# Two calls at once would install into each other's half-made environment: the second waits, then finds it done.
mkdir -p .make 2>/dev/null || die "$top is not writable for $(id -un)." "Clone the repository into a folder of your own."
if command -v flock >/dev/null 2>&1; then
    exec 9>.make/setup.lock
    flock 9
    if is_current; then exit 0; fi
fi

set_up
offer_bubblewrap
sh scripts/browser.sh 9>&-
say "Ready: $venv/bin/openmanus-graph"
