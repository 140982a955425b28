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

/// As `hashlib` calls them.
const DIGESTS: [&str; 2] = ["sha256", "sha1"];

/// How many checks go side by side by an engine: from nine on a CPU with AVX-512 has them by its lanes.
const CHECKS: [(&str, &[usize]); 3] =
    [("portable", &[1]), ("SHA-NI", &[1, 2, 3, 4, 8, 9, 16]), ("AVX-512", &[2, 9, 16])];

/// One way to do so many checks side by side.
struct Variant {
    digest: &'static str,
    name: &'static str,
    checks: usize,
    run: Box<dyn Fn()>,
}

impl Variant {
    fn new(
        digest: &'static str,
        name: &'static str,
        checks: usize,
        run: impl Fn() + 'static,
    ) -> Self {
        Self { digest, name, checks, run: Box::new(run) }
    }

    fn all() -> Vec<Self> {
        let mut all = vec![Self::new("sha256", "pbkdf2 crate", 1, || {
            let password = black_box(PASSWORD);
            black_box(::pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, SALT, ITERATIONS));
        })];
        for engine in Engine::all() {
            let name = engine.name(usize::MAX);
            for (_, checks) in CHECKS.iter().filter(|(of, _)| *of == name) {
                let variant = |checks: &usize| {
                    let checks = *checks;
                    Self::new("sha256", name, checks, move || sha256(engine, checks))
                };
                all.extend(checks.iter().map(variant));
            }
        }
        all.push(Self::new("sha1", "pbkdf2 crate", 1, || {
            let password = black_box(PASSWORD);
            black_box(::pbkdf2::pbkdf2_hmac_array::<Sha1, 20>(password, SALT, ITERATIONS));
        }));
        all.push(Self::new("sha1", "portable", 1, || {
            black_box(pbkdf2::sha1(black_box(PASSWORD), SALT, ITERATIONS));
        }));
        all
    }
}

fn sha256(engine: Engine, checks: usize) {
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
fn against_python(variants: &[Variant]) {
    let mut python = Python::start();
    let mut pythons = DIGESTS.map(|_| Vec::new());
    let mut ours: Vec<Vec<f64>> = variants.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (digest, times) in DIGESTS.iter().zip(&mut pythons) {
            times.push(python.seconds(digest));
        }
        for (variant, times) in variants.iter().zip(&mut ours) {
            let start = cpu_time();
            (variant.run)();
            times.push((cpu_time() - start) / variant.checks as f64);
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
        let of_digest = |(variant, _): &(&Variant, _)| variant.digest == *digest;
        for (variant, times) in variants.iter().zip(&mut ours).filter(of_digest) {
            let Variant { name, checks, .. } = variant;
            let ours = median(times);
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
    let variants = Variant::all();
    against_python(&variants);
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    for digest in DIGESTS {
        let mut group = criterion.benchmark_group(format!("pbkdf2_{digest}"));
        for variant in variants.iter().filter(|variant| variant.digest == digest) {
            let iterations = variant.checks as u64 * u64::from(ITERATIONS);
            group.throughput(Throughput::Elements(iterations));
            group.bench_function(BenchmarkId::new(variant.name, variant.checks), |bencher| {
                bencher.iter(&variant.run);
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
