#!/usr/bin/env bash
# The arrow rule of the design: which part of src/ may use which, and where `unsafe` may stand.
#   tests/arrows.sh [directory]    checks src/ (or that directory)
#   tests/arrows.sh --self-test    shows that each rule can fail
set -euo pipefail
cd "$(dirname "$0")/.."

check() { # directory
    # Perl, because comments, strings and nested braces want more than grep; apxs needs it anyway.
    local files
    mapfile -t files < <(cd "$1" && find . -name '*.rs' | sed 's|^\./||' | LC_ALL=C sort)
    (cd "$1" && perl - "${files[@]}") <<'PERL'
use strict;
use warnings;

# part => what it may use beside itself; lib.rs is the map of all and may name any.
my %may = (
    httpd   => 'config authn authz cache hashing query store user error hashers secret inspect',
    inspect => 'authn store hashers query session user error',
    config  => 'user query cache hashing hashers store secret session error',
    authn   => 'store hashers hashing cache session config query user error',
    authz   => 'store query user error',
    session => 'signing error',
    store   => 'session user query error',
    hashing => 'hashers cache error',
    hashers => 'error',
    secret  => 'error',
    cache   => 'error',
    signing => '',
    user    => 'query',
    query   => '',
    error   => '',
);

# Hashers by hand-written vector instructions, each with one `unsafe`: the call that follows the look
# at the CPU. Their parents cannot forbid what these need, so they are only looked through.
my %vector = map { $_ => 1 } 'hashers/pbkdf2/sha_ni.rs', 'hashers/pbkdf2/avx512.rs';
my %parent = map { $_ => 1 } 'hashers.rs', 'hashers/pbkdf2.rs';

my (%text, $bad);
for my $file (@ARGV) {
    open my $in, '<', $file or die "$file: $!";
    local $/;
    $_ = <$in>;
    # Comments and literals are blanked, line by line, so that only code is judged.
    s{(//[^\n]*|/\*.*?\*/|\br(#*)".*?"\2|"(?:[^"\\]|\\.)*"|'(?:\\.|[^'\\\n])')}{(my $blank = $1) =~ s/[^\n]//g; $blank}gse;
    $text{$file} = $_;
}

sub part { my ($file) = @_; $file =~ s{(/.*)|\.rs$}{}; return $file }
my %part = map { part($_) => 1 } keys %text;

sub bad {
    my ($file, $at, $why) = @_;
    my $line = 1 + (substr($text{$file}, 0, $at) =~ tr/\n//);
    print "src/$file:$line: $why\n";
    $bad = 1;
}

for my $file (@ARGV) {
    my $from = part($file);
    my $edge = $from eq 'httpd';
    $_ = $text{$file};

    my $unsafe = 0;
    while (/\bunsafe\b/g) {
        next if $edge;
        bad($file, $-[0], "`unsafe` stands under src/httpd alone") unless $vector{$file};
        bad($file, $-[0], "a hasher has one `unsafe`: the call after the look at the CPU") if $unsafe++ == 1;
    }
    while (/\ballow\s*\(\s*unsafe_code\s*\)/g) {
        next if $vector{$file};
        my $on_httpd = $file eq 'lib.rs' && substr($_, $+[0]) =~ /^\s*\]\s*(pub\S*\s+)?mod\s+httpd\b/;
        bad($file, $-[0], "unsafe code is allowed once: in lib.rs, on `mod httpd`") unless $on_httpd || $edge;
    }
    my $held = join "\n", map { $text{$_} // '' } $file, "$from.rs", 'lib.rs';
    bad($file, 0, "must begin with #![forbid(unsafe_code)]")
        unless $edge || $vector{$file} || $parent{$file} || $file eq 'lib.rs' || $held =~ /#!\[\s*forbid\s*\(\s*unsafe_code\s*\)/
            || ($text{'lib.rs'} // '') =~ /#\[\s*forbid\s*\(\s*unsafe_code\s*\)\s*\]\s*(pub\S*\s+)?mod\s+\Q$from\E\b/;
    next if $file eq 'lib.rs';

    unless (exists $may{$from}) {
        bad($file, 0, "`$from` is not in the design: give it a line in tests/arrows.sh, and one in the design");
        next;
    }
    # The parent of src/store/sqlite.rs is still `store`; one step further nobody sees the arrow.
    my $hidden = $file =~ m{/} ? qr/\bsuper::super\b/ : qr/\bsuper::super\b|^(?:pub(?:\([^)]*\))?\s+)?use\s+super\b/m;
    while (/$hidden/g) {
        bad($file, $-[0], "write `crate::…` here, so that the arrow is seen");
    }
    my %ok = map { $_ => 1 } $from, split ' ', $may{$from};
    while (/(?<![\$\w])crate\s*::\s*(?:(\w+)|(\{(?:[^{}]++|(?2))*\}))/g) {
        my ($at, $names) = ($-[0], $1);
        if (defined $2) {
            my $inner = substr $2, 1, -1;
            1 while $inner =~ s/\{[^{}]*\}//g;
            $names = join ' ', map { /^\s*(\w+)/ ? $1 : () } split /,/, $inner;
        }
        for my $to (split ' ', $names) {
            next unless $part{$to} || $may{$to};
            bad($file, $at, "`$from` may not use `$to`; it may use: " . ($may{$from} || 'nothing of ours'))
                unless $ok{$to};
        }
    }
}
exit($bad ? 1 : 0);
PERL
}

# Each case: the file, its text, and the words of the complaint (none: it must pass).
self_test() {
    local dir cases=0
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' RETURN
    local forbid='#![forbid(unsafe_code)]'
    try() { # file, text, complaint
        local out rc=0
        rm -rf "$dir/src"
        mkdir -p "$dir/src/httpd" "$dir/src/store" "$dir/src/hashers/pbkdf2"
        printf '#[allow(unsafe_code)]\nmod httpd;\npub mod store;\n' >"$dir/src/lib.rs"
        printf '%s\n' "$forbid" | tee "$dir/src/store.rs" "$dir/src/user.rs" "$dir/src/authn.rs" \
            "$dir/src/authz.rs" >"$dir/src/error.rs"
        printf 'mod pbkdf2;\n' >"$dir/src/hashers.rs"
        printf 'use crate::authn;\nunsafe fn f() {}\n' >"$dir/src/httpd/ffi.rs"
        printf '%b' "$2" >"$dir/src/$1"
        out=$(check "$dir/src") || rc=$?
        cases=$((cases + 1))
        if [ -z "$3" ] && [ "$rc" = 0 ] && [ -z "$out" ]; then return; fi
        if [ -n "$3" ] && [ "$rc" = 1 ] && [[ $out == "src/$1:"* && $out == *"$3"* ]]; then return; fi
        printf 'arrows: case %d (%s): expected "%s", got %d: %s\n' "$cases" "$1" "$3" "$rc" "$out" >&2
        exit 1
    }
    try user.rs "$forbid\n" ""
    try user.rs "$forbid\nuse crate::query::Query;\n" ""
    try user.rs "$forbid\nuse crate::error::Error;\n" "src/user.rs:2: \`user\` may not use \`error\`"
    try authz.rs "$forbid\nuse crate::{\n    user::{User, UserModel},\n    authn,\n};\n" "may not use \`authn\`"
    try authz.rs "$forbid\nuse crate::{user::{User, authn}, error::Error};\n" ""
    try authz.rs "$forbid\nfn f() { crate::httpd::g() }\n" "may not use \`httpd\`"
    try authz.rs "$forbid\n// use crate::httpd;\n/* crate::httpd */ const A: &str = \"crate::httpd unsafe\";\n" ""
    try authz.rs "$forbid\nconst Q: char = '\"'; fn f() { crate::httpd::g() }\n" "may not use \`httpd\`"
    try authz.rs "$forbid\nuse super::authn;\n" "write \`crate::"
    try store/sqlite.rs "use super::Store;\nmod tests {\n    use super::*;\n}\n" ""
    try store/sqlite.rs "use super::super::authn;\n" "write \`crate::"
    try store/sqlite.rs "use crate::hashers;\n" "\`store\` may not use \`hashers\`"
    try store/sqlite.rs "fn f() { unsafe { g() } }\n" "src/store/sqlite.rs:1: \`unsafe\` stands"
    try store.rs "fn f() {}\n" "must begin with"
    try store.rs "$forbid\n#[allow(unsafe_code)]\nmod x {}\n" "allowed once"
    try lib.rs "#[allow(unsafe_code)]\nmod store;\n" "allowed once"
    try hashers/pbkdf2/sha_ni.rs "#![allow(unsafe_code)]\nfn f() { unsafe { g() } }\n" ""
    try hashers/pbkdf2/sha_ni.rs "#![allow(unsafe_code)]\nfn f() { unsafe { g() } }\nunsafe fn g() {}\n" \
        "src/hashers/pbkdf2/sha_ni.rs:3: a hasher has one \`unsafe\`"
    try hashers/pbkdf2/sha_ni.rs "use crate::store;\n" "\`hashers\` may not use \`store\`"
    try hashers/pbkdf2/engine.rs "#![allow(unsafe_code)]\n" "allowed once"
    try hashers/pbkdf2/engine.rs "$forbid\nfn f() { unsafe { g() } }\n" "engine.rs:2: \`unsafe\` stands"
    try hashers.rs "fn f() {}\n" ""
    try hashers.rs "fn f() { unsafe { g() } }\n" "src/hashers.rs:1: \`unsafe\` stands"
    try hashers.rs "#[allow(unsafe_code)]\nmod pbkdf2;\n" "allowed once"
    try hashers/argon2_phc.rs "fn f() {}\n" "must begin with"
    try manager.rs "$forbid\n" "is not in the design"
    try httpd/ffi.rs "use crate::session;\n" "\`httpd\` may not use \`session\`"
    echo "arrows: $cases cases judged as they should be"
}

case ${1:-src} in
    --self-test) self_test ;;
    *) check "${1:-src}" && echo "arrows: as the design draws them" ;;
esac
