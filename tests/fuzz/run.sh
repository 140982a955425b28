#!/usr/bin/env bash
# Fuzzes what a client's cookie reaches. Needs a nightly toolchain for its sanitizers, nothing else.
#   tests/fuzz/run.sh [SECONDS [TARGET…]]    60 seconds each; what it finds is kept in target/fuzz
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly seconds=${1:-60} triple=$(rustc -vV | sed -n 's/^host: //p') out=$PWD/target/fuzz
shift || true
[ $# -gt 0 ] || set -- cookie signed json

# What cargo-fuzz sets.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
coverage+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
export RUSTFLAGS="--cfg fuzzing $coverage -Zsanitizer=address -Ccodegen-units=1" CARGO_TARGET_DIR=$out
cargo +nightly build --release --manifest-path tests/fuzz/Cargo.toml --target "$triple"

for target in "$@"; do
    mkdir -p "$out/corpus/$target" "$out/found/$target"
    "$out/$triple/release/$target" -max_total_time="$seconds" -max_len=4096 -print_final_stats=1 \
        -artifact_prefix="$out/found/$target/" -dict="tests/fuzz/$target.dict" "$out/corpus/$target"
done
