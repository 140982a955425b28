#!/usr/bin/env bash
# Runs every unit and integration test, keeps their words in target/test.log, and counts them: the last
# line is "N passed, N failed". Called by `make test`, which has built everything and says where it is.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${MODULE:?run make test}" "${MODULE_PANIC:?run make test}" "${DJANGO_VENV:?run make test}"
PGBIN=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
export PGBIN=${PGBIN%/initdb} RUST_BACKTRACE=${RUST_BACKTRACE:-1} CARGO_TERM_COLOR=never
readonly log=$PWD/target/test.log
: >"$log"

# The live tests run httpd, Django and PostgreSQL as users of their own, which takes root. What is
# compiled stays yours: only the compiled tests are run through sudo.
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "the live tests need root, and there is no sudo here: run make test as root" >&2; exit 1; }
    echo "the live tests run as root, through sudo, which may ask for your password"
    sudo true
    triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${triple}_RUNNER=sudo --preserve-env=TEST_STATE,MODULE,MODULE_PANIC,DJANGO_VENV,PGBIN,PATH,RUST_BACKTRACE"
fi

# Every server of the tests lives in here; what a test that died has left is ended and removed with it.
TEST_STATE=$(mktemp -d "${TMPDIR:-/tmp}/mod_authnz_django-tests.XXXXXX")
export TEST_STATE
chmod 755 "$TEST_STATE"
leave() {
    local become=()
    [ "$(id -u)" = 0 ] || become=(sudo)
    "${become[@]}" pkill -KILL -f "$TEST_STATE/" || true
    "${become[@]}" rm -rf "$TEST_STATE"
}
trap leave EXIT

died=0

rust() { # arguments of cargo test
    local rc=0 before
    before=$(grep -c '^test result: FAILED' "$log" || true)
    cargo test --release --no-fail-fast "$@" </dev/null 2>&1 | tee -a "$log" || rc=$?
    # A test program that dies says no result; nor does one that does not compile.
    if [ "$rc" != 0 ] && [ "$(grep -c '^test result: FAILED' "$log" || true)" = "$before" ]; then
        echo "cargo test $* ended with $rc, without a result" | tee -a "$log"
        died=$((died + 1))
    fi
}

script() { # name, command: one test each, told in cargo's words
    local name=$1 rc=0
    shift
    "$@" </dev/null >"$log.script" 2>&1 || rc=$?
    {
        if [ "$rc" = 0 ]; then
            printf 'test %s ... ok\n' "$name"
            echo "test result: ok. 1 passed; 0 failed"
        else
            sed "s|^|$name: |" "$log.script"
            printf 'test %s ... FAILED\n' "$name"
            echo "test result: FAILED. 0 passed; 1 failed"
        fi
    } | tee -a "$log"
    rm -f "$log.script"
}

free_port() {
    /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

rust --lib
if compgen -G 'tests/*.rs' >/dev/null; then
    # Each test has servers of its own; more than two at once only wait for each other.
    rust --test '*' -- --test-threads "${TEST_THREADS:-2}"
fi
script "arrows can fail" tests/arrows.sh --self-test
script "make install" tests/install.sh
# Its screenshots are for you to look at.
script "make demo" env DEMO_ONCE=1 DEMO_BROWSER="$PWD/target/browser/sqlite" DB=sqlite PORT="$(free_port)" tests/demo.sh
script "make demo DB=postgresql" env DEMO_ONCE=1 DEMO_BROWSER="$PWD/target/browser/postgresql" DB=postgresql PORT="$(free_port)" tests/demo.sh
# Of Debian and Ubuntu alone can debootstrap make the images' base.
if command -v apt-get >/dev/null; then script "docker/compose.yaml" tests/image.sh; fi

awk -v died="$died" '
    /^test .* \.\.\. FAILED$/ { names = names "  " $0 "\n" }
    /^test result: / {
        for (i = 2; i <= NF; i++) {
            if ($i ~ /^passed/) passed += $(i - 1)
            if ($i ~ /^failed/) failed += $(i - 1)
            if ($i ~ /^ignored/) ignored += $(i - 1)
        }
    }
    END {
        failed += died
        print ""
        if (names) printf "failed:\n%s", names
        if (ignored) print ignored " ignored"
        printf "%d passed, %d failed\n", passed, failed
        exit !(passed > 0 && failed == 0)
    }' "$log" | tee -a "$log"
