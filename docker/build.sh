#!/usr/bin/env bash
# Builds the images of docker/Containerfile where there is no container engine, or no registry to fetch
# from: docker/build.sh [prebuilt|build], as root. Debian's debootstrap makes the base, of this machine's own
# release and apt sources, and Debian's buildah does the rest. The module is the one that `make build` has
# made (prebuilt), or is compiled in the builder stage with this machine's Rust toolchain (build).
# buildah's own variables say where images are kept (CONTAINERS_STORAGE_CONF, STORAGE_DRIVER).
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
readonly module=${1:-prebuilt} base=localhost/mod_authnz_django-base
say() { printf 'image: %s\n' "$*"; }
fail() { printf 'image: %s\n' "$*" >&2; exit 1; }

# Needs neither a daemon nor namespaces of its own.
export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}

case $module in prebuilt | build) ;; *) fail "usage: docker/build.sh [prebuilt|build]" ;; esac
[ "$(id -u)" = 0 ] || fail "debootstrap must be run by root: sudo docker/build.sh"
for tool in buildah debootstrap; do
    command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install --no-install-recommends buildah debootstrap"
done
[ "$module" = build ] || [ -e target/mod_authnz_django.so ] || fail "there is no module yet: make build"

work=$(mktemp -d)
container=''
leave() {
    [ -z "$container" ] || buildah rm "$container" >/dev/null || true
    rm -rf "$work"
}
trap leave EXIT

quietly() { # what, command: its words are for whom it fails
    local what=$1
    shift
    say "$what"
    "$@" </dev/null >"$work/log" 2>&1 && return 0
    tail -n 30 "$work/log" >&2
    fail "$what: failed"
}

# --- The base: what debian:bookworm-slim is to the Containerfile ---------------------------------------

# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
# Those of the distribution alone, its security updates too.
sources=$(apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
    "Origin: $(. /etc/os-release && echo "${ID^}")" | sort -u)
mirror=$(awk -v suite="$suite" '$3 == suite { print $2; exit }' <<<"$sources")
[ -n "$mirror" ] || fail "apt knows no mirror of $suite: apt-get update"

container=$(buildah from scratch)
root=$(buildah mount "$container")
quietly "debootstrap makes a base of $suite" \
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
printf '%s\n' "$sources" >"$root/etc/apt/sources.list"
# As in Debian's own image: no manuals, no caches, and no waiting for a disk that is thrown away on a crash.
cat >"$root/etc/dpkg/dpkg.cfg.d/container" <<'CONF'
force-unsafe-io
path-exclude /usr/share/doc/*
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
CONF
cat >"$root/etc/apt/apt.conf.d/container" <<'CONF'
Acquire::Languages "none";
APT::Keep-Downloaded-Packages "false";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
CONF
# A second build replaces the first; buildah has commands of its own beside it.
quietly "keeping it as $base" buildah commit --rm "$container" "$base"
container=''

# --- The images ---------------------------------------------------------------------------------------

# docker: the format that knows health checks.
stage() { # stage, image, further options
    local stage=$1 image=$2
    shift 2
    quietly "building $image" buildah build --format docker --file docker/Containerfile --target "$stage" \
        --tag "$image" --build-arg BASE="$base" --build-arg BUILDER="$base" --build-arg MODULE="$module" "$@" .
}

toolchain=()
if [ "$module" = build ]; then
    sysroot=$(rustc --print sysroot)
    [ -x "$sysroot/bin/cargo" ] && [ "$sysroot" != /usr ] || fail "no toolchain of rustup's: https://rustup.rs"
    toolchain=(--volume "$sysroot:/usr/local:ro")
    # The crates that are here need not be fetched again.
    registry=${CARGO_HOME:-$HOME/.cargo}/registry
    [ ! -d "$registry" ] || toolchain+=(--volume "$registry:/root/.cargo/registry")
fi
stage web localhost/mod_authnz_django "${toolchain[@]}"
stage site localhost/mod_authnz_django-site
say "run them with podman, or hand them to docker: buildah push localhost/mod_authnz_django docker-archive:web.tar"
