#!/usr/bin/env bash
# Do the images of docker/ come up protected? docker/build.sh builds them, tests/image.py runs the services
# of docker/compose.yaml from them, as an engine would. Nothing is left, and nothing of another's is used.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { printf 'image: %s\n' "$*" >&2; exit 1; }

become=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "debootstrap and chroot want root, and there is no sudo here"
    become=(sudo)
fi
for tool in buildah debootstrap; do
    command -v "$tool" >/dev/null || fail "$tool is missing: run tests/setup.sh test"
done
# buildah's chroot isolation mounts in a namespace of its own; a container may not be allowed to.
"${become[@]}" unshare --mount sh -c 'mount -t tmpfs none /mnt && chroot / true' ||
    fail "root may not mount and chroot here (a container without CAP_SYS_ADMIN?), and buildah has to"

state=$(mktemp -d "${TEST_STATE:-${TMPDIR:-/tmp}}/image.XXXXXX")
chmod 755 "$state"
environment=(CONTAINERS_STORAGE_CONF="$state/storage.conf" BUILDAH_ISOLATION=chroot PATH="$PATH")
leave() {
    "${become[@]}" env "${environment[@]}" buildah rm --all >/dev/null 2>&1 || true
    "${become[@]}" env "${environment[@]}" buildah rmi --all --force >/dev/null 2>&1 || true
    "${become[@]}" umount "$state/images/overlay" 2>/dev/null || true
    "${become[@]}" rm -rf "$state"
}
trap leave EXIT

# buildah wants the driver named. overlay is much faster, where the file system under it can carry it.
mkdir "$state/lower" "$state/upper" "$state/work" "$state/merged"
driver=vfs
if "${become[@]}" unshare --mount mount -t overlay overlay \
    -o "lowerdir=$state/lower,upperdir=$state/upper,workdir=$state/work" "$state/merged" 2>/dev/null; then
    driver=overlay
fi
cat >"$state/storage.conf" <<CONF
[storage]
driver = "$driver"
graphroot = "$state/images"
runroot = "$state/run"
CONF

"${become[@]}" env "${environment[@]}" docker/build.sh
"${become[@]}" env "${environment[@]}" /usr/bin/python3 tests/image.py "$state"
