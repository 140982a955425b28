//! Each engine against published vectors and against the `pbkdf2` crate.
#![forbid(unsafe_code)]

use ::pbkdf2::pbkdf2_hmac_array;
use proptest::collection::vec;
use proptest::prelude::*;
use sha1::Sha1;
use sha2::Sha256;

use super::*;

/// What the crate derives.
pub(super) fn oracle(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations)
}

/// Does all iterations, some at a time, as a batch does.
fn run(engine: Engine, jobs: &mut [Job], chunk: u32) {
    loop {
        let mut rest: Vec<&mut Job> = jobs.iter_mut().filter(|job| !job.is_done()).collect();
        if rest.is_empty() {
            return;
        }
        engine.advance(&mut rest, chunk);
    }
}

/// Each alone, and what the CPU does best.
fn engines() -> Vec<Engine> {
    let mut engines = Engine::all();
    engines.push(Engine::detect());
    engines
}

/// RFC 7914, 11 (the first 32 bytes of the second one's 64 stand for themselves), RFC 6070, 2.
#[test]
fn derives_the_published_vectors() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        hex(&sha256(b"passwd", b"salt", 1)),
        "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
    );
    assert_eq!(
        hex(&sha256(b"Password", b"NaCl", 80000)),
        "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
    );
    for (iterations, derived) in [
        (1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
        (2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
        (4096, "4b007901b765489abead49d926f721d065a429c1"),
    ] {
        assert_eq!(hex(&sha1(b"password", b"salt", iterations)), derived);
    }
}

/// 16 is a full set of lanes; the counts after it need more than one.
#[test]
fn any_number_of_checks_goes_side_by_side() {
    for engine in engines() {
        for count in 1..=40 {
            let password = |check: usize| format!("password {check}");
            let mut jobs: Vec<Job> =
                (0..count).map(|check| Job::new(password(check).as_bytes(), b"salt", 7)).collect();
            run(engine, &mut jobs, u32::MAX);
            for (check, job) in jobs.iter().enumerate() {
                let expected = oracle(password(check).as_bytes(), b"salt", 7);
                assert_eq!(*job.derived(), expected, "{check} of {count} by {engine:?}");
            }
        }
    }
}

#[test]
fn what_a_thread_has_in_hand_is_what_it_gains_by() {
    let widths = |engine: Engine| [0, 1, 2, 3, 8, 9, 16, 100].map(|share| engine.width(share));
    assert_eq!(widths(Engine::portable()), [1; 8]);
    for engine in engines() {
        let widths = widths(engine);
        assert!(widths.is_sorted() && widths[..2] == [1, 1] && widths[7] <= 16, "{engine:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_check_equals_the_crate(
        password in vec(any::<u8>(), 0..300),
        salt in vec(any::<u8>(), 0..200),
        iterations in 1..100_u32,
        chunk in 1..100_u32,
    ) {
        let expected = oracle(&password, &salt, iterations);
        prop_assert_eq!(&**sha256(&password, &salt, iterations), &expected);
        for engine in engines() {
            let mut job = [Job::new(&password, &salt, iterations)];
            run(engine, &mut job, chunk);
            prop_assert_eq!(&**job[0].derived(), &expected, "{:?}", engine);
        }
        let expected = pbkdf2_hmac_array::<Sha1, 20>(&password, &salt, iterations);
        prop_assert_eq!(&**sha1(&password, &salt, iterations), &expected);
    }

    #[test]
    fn checks_of_different_length_equal_the_crate(
        checks in vec((vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..80), 1..60_u32), 1..=20),
        chunk in 1..60_u32,
    ) {
        for engine in engines() {
            let mut jobs: Vec<Job> = checks
                .iter()
                .map(|(password, salt, iterations)| Job::new(password, salt, *iterations))
                .collect();
            run(engine, &mut jobs, chunk);
            for ((password, salt, iterations), job) in checks.iter().zip(&jobs) {
                let expected = oracle(password, salt, *iterations);
                prop_assert_eq!(&**job.derived(), &expected, "{:?}", engine);
            }
        }
    }
}
