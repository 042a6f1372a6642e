#!/bin/sh
# Get the Neo4j server that the tests of templates run on; nothing happens where it is.
#
# Maven gets the jars that scripts/neo4j.xml names; scripts/neo4j.sha256 says what each must be. Installs Maven and Java only
# as root on a machine with apt-get; otherwise names the command, and those tests are skipped. Never calls sudo.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd -P)
version=$(sed -n 's|.*<neo4j>\(.*\)</neo4j>.*|\1|p' "$top/scripts/neo4j.xml")
folder=$top/.make/neo4j-$version
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.6.1

say() { printf '%s\n' "$*" >&2; }
missing() {
    say "Neo4j is missing: tests of templates in Neo4j are skipped."
    for line in "$@"; do say "  $line"; done
    exit 0
}

check_digests() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum -c --quiet "$1"; else shasum -a 256 -c "$1" >/dev/null; fi
}
right_java() {
    major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
    [ -n "$major" ] && [ "$major" -ge 17 ]
}
have_tools() { command -v mvn >/dev/null 2>&1 && right_java; }
install() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends \
        maven default-jre-headless >&2
}
get_tools() {
    have_tools && return 0
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    say "Installing with apt-get: maven default-jre-headless (for the tests of templates)"
    { install || { apt-get -qq update >&2 && install; }; } && have_tools
}

if [ -e "$folder/complete" ] && right_java; then exit 0; fi
if ! get_tools; then
    if command -v apt-get >/dev/null 2>&1; then
        missing "Install what gets and runs it with: sudo apt-get install maven default-jre-headless"
    fi
    missing "Install Maven, and Java 17 or newer, in this system's usual way."
fi
if [ -e "$folder/complete" ]; then exit 0; fi

# Made beside its place and moved there when it is whole: a second call at the same time does no harm.
mkdir -p "$top/.make"
new=$(mktemp -d "$top/.make/neo4j.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
say "Getting Neo4j $version with Maven (some hundred megabytes) ..."
if ! mvn --batch-mode --quiet --strict-checksums --file "$top/scripts/neo4j.xml" "$plugin:copy-dependencies" \
    -DincludeScope=runtime -DoutputDirectory="$new/lib" >"$new/maven.log" 2>&1; then
    tail -n 5 "$new/maven.log" >&2
    missing "Maven could not get it; it says why above. Its settings decide where it looks."
fi
if ! (cd "$new/lib" && check_digests "$top/scripts/neo4j.sha256") >&2; then
    say "What Maven got is not what scripts/neo4j.sha256 names; nothing of it is kept."
    exit 1
fi
if [ "$(find "$new/lib" -name '*.jar' | wc -l)" -ne "$(wc -l <"$top/scripts/neo4j.sha256")" ]; then
    say "Maven got more than scripts/neo4j.sha256 names; nothing of it is kept."
    exit 1
fi
rm -f "$new/maven.log"
: >"$new/complete"
chmod 755 "$new"
if [ ! -e "$folder" ]; then mv "$new" "$folder"; fi
say "Neo4j $version: $folder"
