#!/bin/sh
# Get the system's Chromium, in which the tests click through the notebook widget; nothing happens where there is one.
#
# Installs only as root on a machine with apt-get; otherwise names the command, and those tests are skipped. Never calls sudo.
set -eu

say() { printf '%s\n' "$*" >&2; }

for name in chromium chromium-browser; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "Installing with apt-get: chromium (some hundred megabytes, for the tests of the notebook widget)"
    install() {
        DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends \
            chromium fonts-dejavu-core >&2
    }
    if install || { apt-get -qq update >&2 && install; }; then exit 0; fi
fi

say "Chromium is missing: tests of the notebook widget are skipped."
if command -v apt-get >/dev/null 2>&1; then
    say "  Install it with: sudo apt-get install chromium"
else
    say "  Install the package chromium with this system's package manager."
fi
