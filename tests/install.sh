#!/usr/bin/env bash
# Does `make install` put things where Debian's own a2enmod finds them, and does `make uninstall` leave
# nothing? All of it in a directory under target/; the tools are those of the unpacked package apache2.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { printf 'install: %s\n' "$*" >&2; exit 1; }

readonly layout=$PWD/target/apache2-layout dest=$PWD/target/install
[ -x "$layout/usr/sbin/a2enmod" ] || fail "Debian's package apache2 is not unpacked: run tests/setup.sh test"
libexec=$(apxs -q LIBEXECDIR)
httpd=$(apxs -q SBINDIR)/$(apxs -q PROGNAME)
rm -rf "$dest"
mkdir -p "$dest/etc"
cp -a "$layout/etc/apache2" "$dest/etc/apache2"
# What the package's own installation enables, as far as this configuration needs it.
a2() { # a2enmod or a2dismod, its arguments
    local tool=$1
    shift
    APACHE_CONFDIR=$dest/etc/apache2 APACHE_STATE_DIRECTORY=$dest/var/lib/apache2 \
        perl "$layout/usr/sbin/$tool" --quiet "$@" </dev/null
}
configtest() {
    (
        export APACHE_CONFDIR=$dest/etc/apache2
        # shellcheck source=/dev/null
        . "$APACHE_CONFDIR/envvars"
        mkdir -p "$dest/run"
        export APACHE_RUN_DIR=$dest/run APACHE_LOCK_DIR=$dest/run APACHE_LOG_DIR=$dest/run
        "$httpd" -d "$APACHE_CONFDIR" -f apache2.conf -t "$@" 2>&1
    )
}
loaded() { # says what httpd has loaded; a configuration that does not start is a failure
    local out
    out=$(configtest -D DUMP_MODULES) || fail "configtest: $out"
    grep -q authnz_django_module <<<"$out"
}
a2 a2enmod mpm_event authz_host filter mime dir alias >/dev/null
mkdir -p "$dest/var/lib/apache2"

make install DESTDIR="$dest" >/dev/null
for file in "$libexec/mod_authnz_django.so" /etc/apache2/mods-available/authnz_django.{load,conf}; do
    [ -f "$dest$file" ] || fail "$file was not installed"
done
grep -qx "LoadModule authnz_django_module $libexec/mod_authnz_django.so" \
    "$dest/etc/apache2/mods-available/authnz_django.load" || fail "authnz_django.load names another file"
# DESTDIR is not where it will be in the end, but httpd has to find it now.
sed -i "s|$libexec|$dest$libexec|" "$dest/etc/apache2/mods-available/authnz_django.load"

a2 a2enmod authnz_django >/dev/null || fail "a2enmod refused"
for module in authnz_django auth_basic authn_core authz_core authz_user; do
    [ -e "$dest/etc/apache2/mods-enabled/$module.load" ] || fail "a2enmod did not enable $module"
done
loaded || fail "httpd did not load the module"
! make uninstall DESTDIR="$dest" >/dev/null 2>&1 || fail "uninstall removed a module that is enabled"

a2 a2dismod authnz_django >/dev/null || fail "a2dismod refused"
! loaded || fail "httpd still loads the module"

# An administrator's own lines outlive an installation, and a removal.
echo "# mine" >>"$dest/etc/apache2/mods-available/authnz_django.conf"
make install DESTDIR="$dest" >/dev/null
make uninstall DESTDIR="$dest" >/dev/null
grep -q mine "$dest/etc/apache2/mods-available/authnz_django.conf" || fail "an edited authnz_django.conf was lost"
rm "$dest/etc/apache2/mods-available/authnz_django.conf"

make install DESTDIR="$dest" >/dev/null
make uninstall DESTDIR="$dest" >/dev/null
# a2enmod's own leavings, and empty directories, are not ours.
left=$(cd "$dest" && find . -iname '*authnz*django*' ! -path './var/lib/apache2/*')
[ -z "$left" ] || fail "uninstall left $left"
rm -rf "$dest"
echo "install: found by a2enmod, loaded by httpd, gone after uninstall"
