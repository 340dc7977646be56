# Installs the Debian packages given as arguments. Their services are not started, and are not
# left to be started at the next boot either: AdTally runs its own servers.

set -e
policy=/usr/sbin/policy-rc.d
saved=$policy.before-adtally
log=$(mktemp)

restore() {
    rm -f "$policy" "$log"
    [ ! -e "$saved" ] || mv -f "$saved" "$policy"
}
trap restore EXIT
trap 'exit 130' HUP INT TERM

# A policy file that is there already is put back at the end. When an earlier installation was
# killed, ours is still there and the one to put back is the saved one.
if [ -e "$policy" ] && [ ! -e "$saved" ]; then
    mv "$policy" "$saved"
fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

epmd_before=$(pgrep -x epmd || true)

quietly() {
    "$@" >"$log" 2>&1 </dev/null || {
        tail -n 3 "$log" >&2
        exit 1
    }
}

export DEBIAN_FRONTEND=noninteractive
quietly apt-get update
quietly apt-get install -y --no-install-recommends "$@"

if [ -d /run/systemd/system ]; then
    for package in "$@"; do
        systemctl disable --now "$package.service" >/dev/null 2>&1 || true
    done
fi

# Erlang's port mapper may have been started by the installation: not ours to leave behind.
for pid in $(pgrep -x epmd || true); do
    case " $(echo $epmd_before) " in
    *" $pid "*) ;;
    *) kill "$pid" 2>/dev/null || true ;;
    esac
done
