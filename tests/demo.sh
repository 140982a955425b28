#!/usr/bin/env bash
# `make demo [DB=sqlite|postgresql] [PORT=8080]`: a real Django site with its login page, and an Apache
# of its own that protects places with that site's users, groups and sessions. Runs until Ctrl-C and
# stops all that it started.
# DEMO_ONCE=1: start, ask, print, stop (so the tests know that what it prints is true).
# DEMO_BROWSER=DIRECTORY: let a real browser log in before, and keep its screenshots there.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
readonly repo=$PWD db=${DB:-sqlite} port=${PORT:-8080} apxs=${APXS:-apxs}
readonly url=http://127.0.0.1:$port
say() { printf 'demo: %s\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

# --- What can be refused at once ---------------------------------------------------------------------

case $db in sqlite | postgresql) ;; *) fail "DB=$db: it is sqlite or postgresql" ;; esac
[[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] || fail "PORT=$port: it is a number from 1 to 65535"
if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    fail "port $port of 127.0.0.1 is taken: stop what listens there, or say another: make demo PORT=$((port < 65535 ? port + 1 : 8080))"
fi

# --- Stopping ----------------------------------------------------------------------------------------

state='' temporary='' httpd='' site='' postgresql=''

# shellcheck disable=SC2317 # called by the traps below
stop() {
    local rc=$?
    trap '' INT TERM HUP
    trap - EXIT
    local server
    for server in $httpd $site; do
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    done
    if [ -n "$postgresql" ]; then
        as_postgres "$postgresql/pg_ctl" -D "$state/postgresql/data" -m fast -w stop >/dev/null 2>&1 || true
    fi
    if [ "$rc" = 0 ] && [ -n "$temporary${DEMO_ONCE:-}" ]; then
        rm -rf "$state"
    elif [ -n "$temporary" ]; then
        say "$state is kept, for its logs; remove it when you have read them"
    fi
    [ -z "$httpd" ] || say "stopped"
    exit "$rc"
}
# shellcheck disable=SC2317
interrupted() {
    echo
    exit 0
}
trap stop EXIT
trap interrupted INT TERM HUP

# --- Building ----------------------------------------------------------------------------------------

tests/setup.sh "${db/sqlite/demo}"
"${MAKE:-make}" build
readonly module=$repo/target/mod_authnz_django.so python=$repo/target/venv/bin/python

# --- Who runs what, and where ------------------------------------------------------------------------

# Started by root, Apache's children and PostgreSQL run as users of their own; else all is yours.
user=$(id -un)
root=''
if [ "$(id -u)" = 0 ]; then root=yes; fi
web=$user
owner=$user
if [ -n "$root" ]; then
    for web in www-data apache nobody; do
        ! id "$web" >/dev/null 2>&1 || break
    done
    if [ "$db" = postgresql ]; then owner=postgres; fi
fi
# Django as another one, who owns the site, where he can reach its Python.
django=$user
if [ -n "$root" ] && runuser -u nobody -- test -x "$python"; then django=nobody; fi

as_postgres() {
    if [ -n "$root" ]; then (cd / && exec runuser -u postgres -- "$@"); else "$@"; fi
}

reachable() { # directory: can they all get there?
    [ -n "$root" ] || return 0
    local who
    for who in "$web" "$owner"; do
        runuser -u "$who" -- test -x "$1" || return 1
    done
}

state=$repo/target/demo/$port
# A demo that was killed the hard way left its PostgreSQL behind, if that pid is still the same program.
if pid=$(head -n 1 "$state/postgresql/data/postmaster.pid" 2>/dev/null) &&
    grep -qF "$state/postgresql/data" "/proc/$pid/cmdline" 2>/dev/null; then
    say "stopping the PostgreSQL of an earlier demo"
    kill -INT "$pid"
    while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.1; done
fi
rm -rf "$state"
mkdir -p "$state"
# The path of a unix socket may have 107 bytes.
if ! reachable "$state" || [ ${#state} -gt 70 ]; then
    rm -rf "$state"
    state=$(mktemp -d "${TMPDIR:-/tmp}/mod_authnz_django.XXXXXX")
    temporary=yes
    chmod 755 "$state"
    reachable "$state" || fail "neither $repo nor $state can be reached by the users $web and $owner: try TMPDIR=/tmp"
    say "$web cannot reach $repo (or its path is long), so the demo lives in $state and is removed when it stops"
fi
readonly state web owner
mkdir "$state/run" "$state/logs"

# --- PostgreSQL --------------------------------------------------------------------------------------

secret() { "$python" -c 'import secrets; print(secrets.token_hex(6))'; }

start_postgresql() {
    local bin dir=$state/postgresql
    bin=$(find /usr/lib/postgresql -path '*/bin/initdb' | sort -V | tail -n 1)
    bin=${bin%/initdb}
    [ -n "$bin" ] || fail "no initdb under /usr/lib/postgresql"
    say "starting a PostgreSQL cluster of its own (unix socket in $dir, no TCP)"
    mkdir "$dir"
    if [ -n "$root" ]; then chown postgres: "$dir"; fi
    as_postgres "$bin/initdb" -D "$dir/data" -U "$owner" --encoding=UTF8 --locale=C.UTF-8 --no-sync \
        --auth-local=peer --auth-host=reject >"$state/logs/initdb.log" 2>&1 ||
        fail "initdb failed: $state/logs/initdb.log"
    # Its owner comes in by the socket's word for who he is; everybody else brings a password.
    printf 'local all "%s" peer\nlocal all all scram-sha-256\n' "$owner" |
        as_postgres tee "$dir/data/pg_hba.conf" >/dev/null
    # From here on there is something to stop, even if Ctrl-C comes before it is up.
    postgresql=$bin
    as_postgres "$bin/pg_ctl" -D "$dir/data" -l "$dir/postgresql.log" -w \
        -o "-c listen_addresses='' -c unix_socket_directories='$dir' -c fsync=off" start >/dev/null ||
        fail "PostgreSQL did not start: $dir/postgresql.log"
    ln -s "$dir/postgresql.log" "$state/logs/postgresql.log"
    as_postgres "$bin/psql" -h "$dir" -U "$owner" -d postgres -qX -v ON_ERROR_STOP=1 <<SQL
CREATE ROLE django LOGIN PASSWORD '$django_password';
CREATE ROLE apache LOGIN PASSWORD '$apache_password';
CREATE DATABASE intranet OWNER django;
REVOKE ALL ON DATABASE intranet FROM PUBLIC;
SQL
}

# The least that Apache needs: to read four columns of a user, and the names of the groups.
grant_to_apache() {
    as_postgres "$postgresql/psql" -h "$state/postgresql" -U "$owner" -d intranet -qX -v ON_ERROR_STOP=1 <<'SQL'
GRANT CONNECT ON DATABASE intranet TO apache;
GRANT USAGE ON SCHEMA public TO apache;
GRANT SELECT (id, username, password, is_active) ON auth_user TO apache;
GRANT SELECT ON auth_user_groups, auth_group TO apache;
GRANT SELECT (session_key, session_data, expire_date) ON django_session TO apache;
ALTER ROLE apache SET default_transaction_read_only = on;
ALTER ROLE apache SET statement_timeout = '5s';
SQL
}

if [ "$db" = postgresql ]; then
    django_password=$(secret)
    apache_password=$(secret)
    start_postgresql
fi

# --- Django ------------------------------------------------------------------------------------------

say "making a Django project in $state/intranet, with its users and groups"
mkdir "$state/intranet"
"$python" -m django startproject intranet "$state/intranet"
manage() { "$python" "$state/intranet/manage.py" "$@"; }
if [ "$db" = postgresql ]; then
    (umask 077 && cat >>"$state/intranet/intranet/settings.py") <<SETTINGS

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "$state/postgresql",
        "NAME": "intranet",
        "USER": "django",
        "PASSWORD": "$django_password",
    }
}
SETTINGS
fi
cp tests/demo/urls.py "$state/intranet/intranet/urls.py"
cat >>"$state/intranet/intranet/settings.py" <<SETTINGS

DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
TEMPLATES[0]["DIRS"] = ["$repo/tests/demo/templates"]
SETTINGS
# SECRET_KEY is in it: Django reads it there, and Apache in a file of root's, which its children cannot.
chmod 600 "$state/intranet/intranet/settings.py"
(umask 077 && manage shell --verbosity 0 --command '
from django.conf import settings
print(settings.SECRET_KEY)
' </dev/null >"$state/secret-key")
manage migrate --verbosity 0

# Made by Django itself, with its default hasher. Prints the three passwords.
passwords=$(manage shell --verbosity 0 --command '
from django.contrib.auth.models import Group, User
from django.utils.crypto import get_random_string
agents = Group.objects.create(name="secret-agents")
made = []
for name in ("alice", "bob", "carol"):
    made.append(get_random_string(10))
    User.objects.create_user(name, password=made[-1], is_active=name != "carol")
User.objects.get(username="alice").groups.add(agents)
print(*made)
' </dev/null)
read -r alice bob carol <<<"$passwords"

if [ "$db" = postgresql ]; then
    grant_to_apache
    (umask 077 && printf '%s\n' "$apache_password" >"$state/database-password")
    socket=$("$python" -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1], safe=""))' "$state/postgresql")
    database="AuthDjangoDatabase \"postgresql://apache@/intranet?host=$socket\"
AuthDjangoDatabasePassword \"file:$state/database-password\""
else
    # Django owns the file and writes; Apache's children may read it, and nobody else.
    if [ -n "$root" ]; then chgrp "$(id -gn "$web")" "$state/intranet/db.sqlite3"; fi
    chmod 640 "$state/intranet/db.sqlite3"
    database="AuthDjangoDatabase \"sqlite:$state/intranet/db.sqlite3\""
fi

# Its login page is reached through Apache alone, by a socket that Apache's children may enter.
mkdir "$state/run/django"
if [ -n "$root" ]; then chown -R "$django" "$state/intranet" "$state/run/django"; fi
(
    cd "$state/intranet"
    as=()
    if [ "$django" != "$user" ]; then
        as=(setpriv --reuid "$django" --regid "$(id -g "$django")" --clear-groups)
    fi
    exec setsid "${as[@]}" "$python" -B -m gunicorn --bind "unix:$state/run/django/socket" \
        --no-control-socket --log-file - intranet.wsgi </dev/null
) >"$state/logs/django.log" 2>&1 &
site=$!

# --- Apache ------------------------------------------------------------------------------------------

httpd_program=$($apxs -q SBINDIR)/$($apxs -q PROGNAME)
libexec=$($apxs -q LIBEXECDIR)
built_in=$("$httpd_program" -l)

load() { # names: those that are not compiled in
    local name file
    for name in "$@"; do
        file=mod_$name
        ! grep -qwE "(mod_)?${name#mpm_}\.c" <<<"$built_in" || continue
        printf 'LoadModule %s_module "%s/%s.so"\n' "$name" "$libexec" "$file"
    done
}
load_mpm() { grep -qwE '(event|worker|prefork)\.c' <<<"$built_in" || load mpm_event; }

for place in public members secret media/agents; do
    mkdir -p "$state/htdocs/$place"
done
echo "Everybody may read this." >"$state/htdocs/public/index.html"
echo "You are an active user of the Django site." >"$state/htdocs/members/index.html"
echo "You are in the group secret-agents." >"$state/htdocs/secret/index.html"
cp tests/demo/picture.svg "$state/htdocs/media/"
sed 's/for USERS/for AGENTS/; s/#0c4b33/#4b0c33/' tests/demo/picture.svg >"$state/htdocs/media/agents/picture.svg"

cat >"$state/httpd.conf" <<CONF
# Made by \`make demo\`: all that this Apache knows.
$(load_mpm)
$(load unixd log_config authn_core authz_core auth_basic authz_user dir proxy proxy_http)
LoadModule authnz_django_module "$module"

Listen 127.0.0.1:$port
ServerName 127.0.0.1
ServerRoot "$state"
DefaultRuntimeDir "$state/run"
PidFile "$state/run/httpd.pid"
ErrorLog "$state/logs/error.log"
LogFormat "%h %u \"%r\" %>s" short
CustomLog "$state/logs/access.log" short
$([ -z "$root" ] || printf 'User %s\nGroup %s\n' "$web" "$(id -gn "$web")")
DocumentRoot "$state/htdocs"
DirectoryIndex index.html
<Directory />
    Require all denied
</Directory>

$database

<Directory "$state/htdocs">
    ForceType text/plain
</Directory>

<Location "/public">
    Require all granted
</Location>

<Location "/members">
    AuthType Basic
    AuthName "Members"
    AuthBasicProvider django
    Require valid-user
</Location>

# No "Require valid-user" here: beside it, either of the two lines would do.
<Location "/secret">
    AuthType Basic
    AuthName "Top Secret"
    AuthBasicProvider django
    Require group secret-agents
</Location>

# Django's own login page, and what else is Django's.
ProxyPreserveHost On
ProxyPass "/accounts/" "unix:$state/run/django/socket|http://django/accounts/"
<Location "/accounts">
    Require all granted
</Location>

# Whoever is logged in there is known here.
AuthDjangoSecretKey "file:$state/secret-key"
<Location "/media">
    ForceType image/svg+xml
    AuthType Basic
    AuthName "Pictures"
    AuthBasicProvider django
    AuthDjangoSession db
    AuthDjangoLoginURL /accounts/login/
    AuthzSendForbiddenOnFailure On
    Require valid-user
</Location>
<Location "/media/agents">
    Require group secret-agents
</Location>
CONF

say "starting Apache on $url"
# In a session of its own, so that Ctrl-C reaches this script alone, which then stops all in order.
setsid "$httpd_program" -f "$state/httpd.conf" -DFOREGROUND </dev/null >"$state/logs/start.log" 2>&1 &
httpd=$!

troubled() { # what is wrong
    tail -n 5 "$state/logs/start.log" "$state/logs/error.log" "$state/logs/django.log" >&2 2>/dev/null || true
    fail "$1; look at $state/logs/error.log"
}

ask() { # path, [user:password]: the status
    curl --silent --noproxy '*' --max-time 30 --output /dev/null --write-out '%{http_code}' \
        ${2:+--user "$2"} "$url$1" || true
}
for ((tries = 0; ; tries++)); do
    kill -0 "$httpd" 2>/dev/null || troubled "Apache did not start"
    [ "$(ask /public/)" = 000 ] || break
    [ "$tries" -lt 100 ] || troubled "Apache does not answer"
    sleep 0.1
done
for ((tries = 0; ; tries++)); do
    kill -0 "$site" 2>/dev/null || troubled "Django did not start"
    [ ! -S "$state/run/django/socket" ] || break
    [ "$tries" -lt 300 ] || troubled "Django does not answer"
    sleep 0.1
done

# What is printed below has been asked before.
expect() { # status, path, [user:password]
    local got
    got=$(ask "$2" "${3:-}")
    [ "$got" = "$1" ] || troubled "expected $1 for $2${3:+ as ${3%%:*}}, got $got"
}
expect 200 /public/
expect 401 /members/
expect 401 /secret/
expect 200 /members/ "alice:$alice"
expect 200 /members/ "bob:$bob"
expect 401 /members/ "carol:$carol"
expect 200 /secret/ "alice:$alice"
expect 401 /secret/ "bob:$bob"
expect 401 /secret/ "carol:$carol"
expect 401 /secret/ "alice:$bob"
expect 200 /accounts/login/
expect 401 /media/picture.svg
expect 200 /media/picture.svg "bob:$bob"
expect 403 /media/agents/picture.svg "bob:$bob"
if [ -n "${DEMO_BROWSER:-}" ]; then
    /usr/bin/python3 -B tests/demo/browser.py "$url" "$DEMO_BROWSER" "alice:$alice" "bob:$bob" ||
        troubled "the browser saw something else"
fi

cat <<TEXT

Apache is running, with the users and groups of a Django site ($db).

  $url/public/    everybody
  $url/members/   Require valid-user
  $url/secret/    Require group secret-agents

In a browser, $url/media/picture.svg leads to Django's login page and back:
log in as alice with $alice, or as bob with $bob. Who has logged out is sent there again.

Try:
  curl -i -u alice:$alice $url/secret/     # 200: alice is in secret-agents
  curl -i -u bob:$bob $url/secret/       # 401: bob is not (but /members/ answers him 200)
  curl -i -u carol:$carol $url/members/    # 401: carol is not active

  configuration  $state/httpd.conf
  logs           $state/logs/
  Django         $state/intranet/manage.py, with $python

TEXT

if [ -n "${DEMO_ONCE:-}" ]; then exit 0; fi
echo "Ctrl-C stops it, and all that it started."
# Ended by a signal (see \`interrupted\`), or by Apache itself.
wait "$httpd" || true
troubled "Apache has stopped by itself"
