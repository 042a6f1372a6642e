#!/bin/sh
# Get the system's Chromium, in which browser_use works and tests click; nothing happens where there is one.
#
# Installs only as root on a machine with apt-get; otherwise names the command, and browser_use is not offered. Never calls sudo.
set -eu

say() { printf '%s\n' "$*" >&2; }

# The places in which browser_use looks (PROGRAMS of tools/browser/confinement.py): what is on the PATH is a script around it.
for program in \
    /usr/lib/chromium/chromium \
    /usr/lib/chromium-browser/chromium-browser \
    /usr/lib64/chromium-browser/chromium-browser \
    /opt/google/chrome/chrome; do
    if [ -x "$program" ]; then exit 0; fi
done

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "Installing with apt-get: chromium (some hundred megabytes, for browser_use)"
    install() {
        DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends \
            chromium fonts-dejavu-core >&2
    }
    if install || { apt-get -qq update >&2 && install; }; then exit 0; fi
fi

say "Chromium is missing: browser_use is not offered, and tests that need it are skipped."
if command -v apt-get >/dev/null 2>&1; then
    say "  Install it with: sudo apt-get install chromium"
else
    say "  Install the package chromium with this system's package manager."
fi
