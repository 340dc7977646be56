# Installs the Debian packages given as arguments after the path of the policy file. Their
# services are not started, and are not left to be started at the next boot either: AdTally runs
# servers of its own.

set -e
policy=$1
shift
saved=$policy.before-adtally
log=$(mktemp)

# The policy file that was there, if any, is put back. Ours may still be there from an
# installation that was killed; it is known by its comment.
restore() {
    rm -f "$log"
    if [ -e "$saved" ]; then
        mv -f "$saved" "$policy"
    else
        rm -f "$policy"
    fi
}
trap restore EXIT
trap 'exit 130' HUP INT TERM
if [ -e "$policy" ] && ! grep -q 'placed by adtally' "$policy"; then
    mv -f "$policy" "$saved"
fi
printf '#!/bin/sh\n# placed by adtally while it installs packages\nexit 101\n' >"$policy"
chmod 755 "$policy"

# Does the command; its last words are shown when it does not succeed.
quietly() {
    "$@" >"$log" 2>&1 </dev/null || {
        tail -n 3 "$log" >&2
        exit 1
    }
}

export DEBIAN_FRONTEND=noninteractive LC_ALL=C
quietly apt-get update
quietly apt-get install -y --no-install-recommends "$@"

if [ -d /run/systemd/system ]; then
    for package in "$@"; do
        systemctl disable --now "$package.service" >/dev/null 2>&1 || true
    done
fi
