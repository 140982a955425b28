#!/usr/bin/env bash
# Installs what is missing, and nothing else: tests/setup.sh bench|build|check|demo|image|postgresql|test
# Debian and Ubuntu packages as root, or through sudo; Django into target/venv, never into the system.
# Nothing missing: nothing said, and no more than a moment spent.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly target=$PWD/target
say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# --- Debian packages ---------------------------------------------------------------------------------

wanted=() # package|why

need() { # package, why it is needed, [a file that another package may have brought already]
    if [ $# -gt 2 ] && compgen -G "$3" >/dev/null; then return; fi
    wanted+=("$1|$2")
}

build_packages() {
    need gcc "compiles apache/shim.c and links the module" /usr/bin/cc
    need libc6-dev "the C library's headers" /usr/include/stdio.h
    need apache2-bin "the Apache that the module is for"
    need apache2-dev "apxs and the headers of httpd"
    need libclang-dev "bindgen reads the headers of httpd with it"
    need libsqlite3-dev "the module is linked with the system's SQLite"
    need pkg-config "finds libsqlite3" /usr/bin/pkg-config
}

demo_packages() {
    need python3-venv "a Python of our own for Django, in target/venv"
    need curl "asks the server, as you will"
}

postgresql_packages() {
    need postgresql "a PostgreSQL cluster of our own" '/usr/lib/postgresql/*/bin/initdb'
}

image_packages() {
    need buildah "builds the images of docker/ where there is no container engine"
    need debootstrap "makes the base of these images"
}

test_packages() {
    # Not mariadb-server, which would make a server of the system's, and its user.
    need mariadb-server-core "a MariaDB server of our own" /usr/sbin/mariadbd
    need mariadb-client-core "looks into it" /usr/bin/mariadb
    need libmariadb-dev "Django's driver for MySQL is compiled with it" /usr/bin/mariadb_config
    need python3-dev "the same" '/usr/include/python3*/Python.h'
    need pgbouncer "the module behind PgBouncer in transaction mode"
    need libapache2-mod-wsgi-py3 "mod_wsgi, to compare answers and to share a SQLite file with"
    need redis-server "verified passwords shared by several machines"
    need python3-yaml "reads docker/compose.yaml"
    need chromium "a browser that logs in to the demo" /usr/bin/chromium
    need chromium-driver "drives it" /usr/bin/chromedriver
    need python3-selenium "tells the driver what to do" '/usr/lib/python3*/dist-packages/selenium'
    need libapache2-mod-xsendfile "a view that decides and Apache that serves, in apache/examples/xsendfile.conf"
    need libapache2-mod-svn "mod_dav_svn, for apache/examples/subversion.conf"
    need subversion "its client, and svnadmin" /usr/bin/svn
    need cadaver "a WebDAV client" /usr/bin/cadaver
    need litmus "asks a WebDAV server everything" /usr/bin/litmus
    need git "git-http-backend, and its client" /usr/lib/git-core/git-http-backend
    need iproute2 "networks that swallow packets"
    need sqlite3 "looks into the databases"
    need openssl "certificates for databases over TLS"
    need procps "looks at the server's processes" /usr/bin/ps
    need binutils "which libraries the module asks for" /usr/bin/readelf
}

bench_packages() {
    need wrk "asks as fast as it is answered"
    need apache2-utils "htpasswd, for bcrypt" /usr/bin/htpasswd
    need libaprutil1-dbd-pgsql "mod_authn_dbd with PostgreSQL, to compare with"
    need nginx-light "auth_request, to compare with" /usr/sbin/nginx
}

# What a package's own scripts would do to the system's servers (make a PostgreSQL cluster, start
# PgBouncer, switch modules on in the system's Apache) is left out: dpkg finds these names first, and
# they do nothing for the packages that we install. A running system server is not touched.
quiet_path() {
    local dir=$target/quiet name
    mkdir -p "$dir"
    for name in pg_createcluster a2enmod invoke-rc.d deb-systemd-invoke deb-systemd-helper update-rc.d; do
        cat >"$dir/$name" <<'STUB'
#!/bin/sh
# Made by tests/setup.sh: mod_authnz_django's tests start servers of their own.
case "${DPKG_MAINTSCRIPT_PACKAGE:-}" in
    postgresql-[0-9]* | pgbouncer | redis-server | libapache2-mod-wsgi-py3 | libapache2-mod-xsendfile | libapache2-mod-svn) exit 0 ;;
esac
self=${0##*/}
for dir in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
    [ -x "$dir/$self" ] && exec "$dir/$self" "$@"
done
echo "$self: not found" >&2
exit 127
STUB
        chmod 755 "$dir/$name"
    done
    printf '%s' "$dir:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

# Root directly, else sudo.
become=()
privileges() {
    [ "$(id -u)" != 0 ] || return 0
    command -v sudo >/dev/null ||
        fail "they must be installed by root, and there is no sudo here: run 'tests/setup.sh $stage' as root once"
    say "through sudo, which may ask for your password"
    become=(sudo)
}

install_packages() {
    local entry status missing=() names=()
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        command -v apxs >/dev/null || fail "this is no Debian or Ubuntu: install apxs (httpd-devel), clang's library, SQLite's headers and pkg-config yourself, then run make again"
        return 0
    fi
    status=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' 2>/dev/null)
    for entry in "${wanted[@]}"; do
        grep -qx "${entry%%|*} installed" <<<"$status" || missing+=("$entry")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    say "installing these Debian packages:"
    for entry in "${missing[@]}"; do
        printf '         %-26s %s\n' "${entry%%|*}" "${entry#*|}"
        names+=("${entry%%|*}")
    done
    privileges
    apt update
    apt -y --no-install-recommends -o DPkg::Path="$(quiet_path)" -o Dpkg::Options::=--force-confold \
        install "${names[@]}"
}

# A few hundred lines that nobody reads while all is well.
apt() {
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -q -o Dpkg::Use-Pty=0 "$@" \
        </dev/null >>"$target/apt.log" 2>&1 && return 0
    tail -n 20 "$target/apt.log" >&2
    fail "apt-get could not do it; all of its words are in $target/apt.log"
}

# --- Rust --------------------------------------------------------------------------------------------

rust() {
    command -v cargo >/dev/null ||
        fail "cargo is missing: install Rust from https://rustup.rs (Debian 12's own is too old), then run make again"
}

rust_tools() {
    local tool
    for tool in rustfmt clippy; do
        cargo "${tool/rustfmt/fmt}" --version >/dev/null 2>&1 && continue
        command -v rustup >/dev/null || fail "$tool is missing, and so is rustup to install it with"
        say "installing $tool with rustup: 'make check' asks it"
        rustup component add "$tool" </dev/null
    done
}

# --- Django ------------------------------------------------------------------------------------------

readonly python=$target/venv/bin/python

# Done already, for these very requirements? Says so by its exit code.
stamped() { cmp -s tests/requirements.txt "$1/.requirements" && [ -x "$python" ] && "$python" -c '' 2>/dev/null; }
stamp() { cp tests/requirements.txt "$1/.requirements"; }
pip() { "$python" -m pip --disable-pip-version-check --quiet "$@" </dev/null; }

venv() {
    stamped "$target/venv" && return 0
    say "installing Django into target/venv, as tests/requirements.txt says"
    rm -rf "$target/venv"
    # Debian's own Python: mod_wsgi in Apache is built for that one.
    /usr/bin/python3 -m venv "$target/venv"
    pip install -r tests/requirements.txt
    stamp "$target/venv"
}

# Django's further drivers, of which one is compiled: the demo is spared that.
drivers() {
    cmp -s tests/requirements-drivers.txt "$target/venv/.requirements-drivers" && return 0
    say "installing Django's further database drivers into target/venv, as tests/requirements-drivers.txt says"
    pip install -r tests/requirements-drivers.txt
    cp tests/requirements-drivers.txt "$target/venv/.requirements-drivers"
}

# Other Djangos, to ask the same questions: unpacked wheels, each a directory to be put first on
# PYTHONPATH. 6.x says that it wants Python 3.12; its hashers and its handler run under Debian's 3.11.
other_django() { # directory, version range, pip's further options
    local dir=$target/$1 range=$2
    shift 2
    stamped "$dir" && return 0
    say "unpacking Django $range into target/${dir##*/}"
    rm -rf "$dir" "$dir.wheel"
    pip download --no-deps --dest "$dir.wheel" "$@" "django$range"
    mkdir -p "$dir"
    "$python" -m zipfile -e "$dir.wheel"/*.whl "$dir"
    rm -rf "$dir.wheel"
    stamp "$dir"
}

other_djangos() {
    other_django django-3.2 '~=3.2.0'
    other_django django-4.2 '~=4.2.0'
    other_django django-6 '~=6.0' --only-binary=:all: --python-version 3.12 --ignore-requires-python
}

# Debian's own a2enmod and its /etc/apache2, for tests/install.sh: unpacked, because the package
# `apache2` would start a server.
apache2_layout() {
    local dir=$target/apache2-layout
    [ -x "$dir/usr/sbin/a2enmod" ] && return 0
    command -v apt-get >/dev/null || return 0
    say "unpacking Debian's package apache2 into target/apache2-layout (not installed)"
    rm -rf "$dir"
    mkdir -p "$dir"
    (cd "$dir" && apt-get -q -q download apache2 2>/dev/null) || {
        privileges
        apt update
        (cd "$dir" && apt-get -q -q download apache2)
    }
    dpkg-deb -x "$dir"/apache2_*.deb "$dir"
    rm -f "$dir"/apache2_*.deb
}

# --- The stages --------------------------------------------------------------------------------------

readonly stage=${1:-test}
mkdir -p "$target"
case $stage in
    build) build_packages; install_packages; rust ;;
    check) build_packages; install_packages; rust; rust_tools ;;
    demo) build_packages; demo_packages; install_packages; rust; venv ;;
    image) build_packages; image_packages; install_packages; rust ;;
    postgresql) build_packages; demo_packages; postgresql_packages; install_packages; rust; venv ;;
    test)
        build_packages; demo_packages; postgresql_packages; image_packages; test_packages; install_packages; rust
        venv; drivers; other_djangos; apache2_layout
        ;;
    bench)
        build_packages; demo_packages; postgresql_packages; test_packages; bench_packages; install_packages; rust
        venv
        ;;
    *) fail "unknown stage '$stage': bench, build, check, demo, image, postgresql or test" ;;
esac
