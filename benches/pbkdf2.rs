//! What a PBKDF2 check costs by each engine, and against Python's `hashlib`, which Django calls:
//! `cargo bench --bench pbkdf2`.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use mod_authnz_django::hashers::pbkdf2::{self, Engine, Job};
use rustix::time::{ClockId, clock_gettime};
use sha1::Sha1;
use sha2::Sha256;

const PASSWORD: &[u8] = b"correct horse";
const SALT: &[u8] = b"abcdefghijklmnopqrstuv";

/// Enough to hide all else.
const ITERATIONS: u32 = 20_000;
const ROUNDS: usize = 41;

/// Does so many checks side by side.
type Run = fn(checks: usize);

/// What this CPU does best.
const DETECTED: &str = "this CPU";

/// As `hashlib` calls them.
const DIGESTS: [&str; 2] = ["sha256", "sha1"];

/// The digest, a name, how many checks go side by side, and how.
const VARIANTS: [(&str, &str, usize, Run); 11] = [
    ("sha256", "pbkdf2 crate", 1, sha256_by_crate),
    ("sha256", "portable", 1, portable),
    ("sha256", DETECTED, 1, detected),
    ("sha256", DETECTED, 2, detected),
    ("sha256", DETECTED, 3, detected),
    ("sha256", DETECTED, 4, detected),
    ("sha256", DETECTED, 8, detected),
    ("sha256", DETECTED, 9, detected),
    ("sha256", DETECTED, 16, detected),
    ("sha1", "pbkdf2 crate", 1, sha1_by_crate),
    ("sha1", "portable", 1, sha1),
];

fn sha256_by_crate(_: usize) {
    black_box(::pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(black_box(PASSWORD), SALT, ITERATIONS));
}

fn sha1_by_crate(_: usize) {
    black_box(::pbkdf2::pbkdf2_hmac_array::<Sha1, 20>(black_box(PASSWORD), SALT, ITERATIONS));
}

fn sha1(_: usize) {
    black_box(pbkdf2::sha1(black_box(PASSWORD), SALT, ITERATIONS));
}

fn portable(checks: usize) {
    by(Engine::portable(), checks);
}

fn detected(checks: usize) {
    by(Engine::detect(), checks);
}

fn by(engine: Engine, checks: usize) {
    let mut jobs: Vec<Job> =
        (0..checks).map(|_| Job::new(black_box(PASSWORD), SALT, ITERATIONS)).collect();
    let mut jobs: Vec<&mut Job> = jobs.iter_mut().collect();
    engine.advance(&mut jobs, u32::MAX);
    for job in jobs {
        black_box(job.derived());
    }
}

/// Python, asked for one timed check at a time.
struct Python(Child);

impl Python {
    const PROGRAM: &str = "
import hashlib, sys, time
for line in sys.stdin:
    digest, iterations = line.split()
    start = time.thread_time()
    hashlib.pbkdf2_hmac(digest, b'correct horse', b'abcdefghijklmnopqrstuv', int(iterations))
    print(time.thread_time() - start, flush=True)
";

    fn start() -> Self {
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", Self::PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(python.spawn().expect("Python starts"))
    }

    fn seconds(&mut self, digest: &str) -> f64 {
        writeln!(self.0.stdin.as_ref().unwrap(), "{digest} {ITERATIONS}").unwrap();
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The CPU time of this thread in seconds: others that use the same core are left out.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Rounds of one run each, so that whatever else the machine does falls on all of them.
fn against_python() {
    let mut python = Python::start();
    let mut pythons = DIGESTS.map(|_| Vec::new());
    let mut ours: Vec<Vec<f64>> = vec![Vec::new(); VARIANTS.len()];
    for _ in 0..ROUNDS {
        for (digest, times) in DIGESTS.iter().zip(&mut pythons) {
            times.push(python.seconds(digest));
        }
        for ((_, _, checks, run), times) in VARIANTS.iter().zip(&mut ours) {
            let start = cpu_time();
            run(*checks);
            times.push((cpu_time() - start) / *checks as f64);
        }
    }
    let scale = 1_000_000.0 / f64::from(ITERATIONS) * 1000.0;
    println!("{ROUNDS} interleaved rounds of {ITERATIONS} iterations, medians of CPU time\n");
    println!(
        "| digest | by | checks at once | ms of a core per check of 1,000,000 | times Python |"
    );
    println!("| --- | --- | --: | --: | --: |");
    for (digest, pythons) in DIGESTS.iter().zip(&mut pythons) {
        let python = median(pythons);
        println!("| {digest} | Python's hashlib | 1 | {:.0} | 1.00 |", python * scale);
        for ((_, name, checks, _), times) in
            VARIANTS.iter().zip(&mut ours).filter(|((of, ..), _)| of == digest)
        {
            let ours = median(times);
            let name = if *name == DETECTED { Engine::detect().name(*checks) } else { name };
            println!(
                "| {digest} | {name} | {checks} | {:.0} | {:.2} |",
                ours * scale,
                python / ours
            );
        }
    }
    println!();
}

fn main() {
    against_python();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    for digest in DIGESTS {
        let mut group = criterion.benchmark_group(format!("pbkdf2_{digest}"));
        for (_, name, checks, run) in VARIANTS.iter().filter(|(of, ..)| *of == digest) {
            group.throughput(Throughput::Elements(*checks as u64 * u64::from(ITERATIONS)));
            group.bench_function(BenchmarkId::new(*name, checks), |bencher| {
                bencher.iter(|| run(*checks));
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
