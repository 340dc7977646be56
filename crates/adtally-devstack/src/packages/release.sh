# Unpacks packages of another Debian release, with everything they need, into a directory of their
# own: release.sh DIRECTORY OWN_CODENAME CODENAME PACKAGE...
#
# They come from the mirror that the system's own packages come from, by a package list with a state
# folder of its own. Nothing of the system changes. The programs that are started from the directory
# are made to load their libraries from there too, so they need neither root nor a chroot.

set -eu
umask 022
root=$1 own=$2 release=$3
shift 3
work=$root.new
apt=$work/apt
new=$work/root
rm -rf "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$new/usr/bin" "$new/usr/lib"
: >"$apt/status"

# Does the command; its last words are shown when it does not succeed.
quietly() {
    "$@" >"$work/log" 2>&1 </dev/null || {
        tail -n 3 "$work/log" >&2
        exit 1
    }
}

export DEBIAN_FRONTEND=noninteractive LC_ALL=C
key=/usr/share/keyrings/debian-archive-keyring.gpg
signed=''
if [ -e "$key" ]; then signed="[signed-by=$key] "; fi
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    while read -r uri suite component; do
        case $suite in
        "$own" | "$own-updates" | "$own-security")
            echo "deb $signed$uri $release${suite#"$own"} $component"
            ;;
        esac
    done >"$apt/sources.list"
if ! [ -s "$apt/sources.list" ]; then
    echo "the package sources of this system name no $own" >&2
    exit 1
fi

# apt-get for the other release: an empty system, and the sources above.
other() {
    quietly apt-get -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" \
        -o "Dir::Cache=$apt/cache" -o "Dir::Etc::sourcelist=$apt/sources.list" \
        -o Dir::Etc::sourceparts=- -o Dir::Etc::preferences=- -o Dir::Etc::preferencesparts=- \
        -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}
other update
other install -y --no-install-recommends --download-only patchelf "$@"

# As where /usr is merged: older packages still have files in /lib.
for dir in bin sbin lib lib64; do
    mkdir -p "$new/usr/$dir"
    ln -s "usr/$dir" "$new/$dir"
done
for package in "$apt"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" |
        tar -x -C "$new" --no-same-owner --keep-directory-symlink --exclude=./usr/share/doc \
            --exclude=./usr/share/man --exclude=./usr/share/locale --exclude=./usr/share/i18n
done

loader=$(cd "$new" && ls lib64/ld-linux-*.so.* lib/ld-linux-*.so.* 2>/dev/null | head -n 1)
libraries=$(cd "$new" && find usr/lib -name libc.so.6 -printf '%h\n' | head -n 1)
patchelf() {
    "$new/$loader" --library-path "$new/$libraries" "$new/usr/bin/patchelf" "$@"
}
# The searched paths hold for plugins too, which is why they are of the older kind.
find "$new/usr/lib/postgresql" "$new/usr/lib/erlang" "$new/usr/sbin" -type f -perm -u+x |
    while read -r program; do
        if patchelf --print-interpreter "$program" >/dev/null 2>&1; then
            patchelf --set-interpreter "$root/$loader" --force-rpath \
                --set-rpath "$root/$libraries" "$program"
        fi
    done
# Erlang's scripts know the directory that they are installed in.
for script in "$new"/usr/lib/erlang/bin/erl "$new"/usr/lib/erlang/erts-*/bin/erl; do
    sed -i "s|/usr/lib/erlang|$root/usr/lib/erlang|g" "$script"
done

rm -rf "$root"
mv "$new" "$root"
