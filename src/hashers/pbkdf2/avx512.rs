//! SHA-256 in the sixteen lanes of an AVX-512 register, a check in each.
//!
//! Safe but for the one call that follows the look at the CPU.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use zeroize::Zeroizing;

use super::job::Job;
use super::sha_ni::K;

/// How many checks go side by side.
const LANES: usize = 16;

/// That this CPU has the instructions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// Looks at the CPU and whether the kernel keeps these registers; the standard library
    /// remembers what it saw.
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }

    /// Does `iterations` more of each job, without counting them. As costly for one as for 16; jobs
    /// from the seventeenth on are left as they are.
    pub(super) fn advance(self, jobs: &mut [&mut Job], iterations: u32) {
        // SAFETY: `detect` alone makes an `Avx512`: the CPU has the feature of `advance`.
        unsafe { advance(jobs, iterations) }
    }
}

/// One word of each lane.
type Word = __m512i;

#[target_feature(enable = "avx512f")]
fn advance(jobs: &mut [&mut Job], iterations: u32) {
    let inner = gather(jobs, |job| &job.inner);
    let outer = gather(jobs, |job| &job.outer);
    let mut last = gather(jobs, |job| &job.last);
    let mut sum = gather(jobs, |job| &job.sum);
    for _ in 0..iterations {
        // Called at one place, it is put there: two calls take 4 % longer.
        for start in [&inner, &outer] {
            last = compress(start, &last);
        }
        for (sum, last) in sum.iter_mut().zip(last) {
            *sum = _mm512_xor_si512(*sum, last);
        }
    }
    scatter(last, jobs, |job| &mut job.last);
    scatter(sum, jobs, |job| &mut job.sum);
}

/// The digests of one block in each lane, a digest and its padding, by hash functions that stand at
/// `start`. What comes of the padding alone is reckoned by the compiler.
#[target_feature(enable = "avx512f")]
#[inline]
fn compress(start: &[Word; 8], digest: &[Word; 8]) -> [Word; 8] {
    let [a, b, c, d, e, f, g, h] = *digest;
    let zero = all(0);
    // A one after the 32 bytes of the digest, and the length with HMAC's key block, in bits.
    let (one, bits) = (all(0x8000_0000), all(768));
    let mut w = [a, b, c, d, e, f, g, h, one, zero, zero, zero, zero, zero, zero, bits];
    let mut state = *start;
    macro_rules! round {
        ($word:expr, $k:expr) => {{
            let [a, b, c, d, e, f, g, h] = state;
            let sigma_1 = xor(rotate::<6>(e), rotate::<11>(e), rotate::<25>(e));
            let sigma_0 = xor(rotate::<2>(a), rotate::<13>(a), rotate::<22>(a));
            let t1 = add(add(h, add($word, all($k))), add(sigma_1, choose(e, f, g)));
            let t2 = add(sigma_0, majority(a, b, c));
            state = [add(t1, t2), a, b, c, add(d, t1), e, f, g];
        }};
    }
    macro_rules! rounds_from {
        // The word of 16 rounds later is made at once: 2 % faster than when it is wanted.
        ($from:literal: $($i:literal)*) => {$(
            round!(w[$i], K[$from + $i]);
            let (x, y) = (w[($i + 1) % 16], w[($i + 14) % 16]);
            let sigma_0 = xor(rotate::<7>(x), rotate::<18>(x), shift::<3>(x));
            let sigma_1 = xor(rotate::<17>(y), rotate::<19>(y), shift::<10>(y));
            w[$i] = add(add(w[$i], sigma_0), add(w[($i + 9) % 16], sigma_1));
        )*};
    }
    macro_rules! last_rounds_from {
        ($from:literal: $($i:literal)*) => {$( round!(w[$i], K[$from + $i]); )*};
    }
    rounds_from!(0: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    rounds_from!(16: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    rounds_from!(32: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    last_rounds_from!(48: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    for (word, start) in state.iter_mut().zip(start) {
        *word = add(*word, *start);
    }
    state
}

#[target_feature(enable = "avx512f")]
#[inline]
fn all(word: u32) -> Word {
    _mm512_set1_epi32(word.cast_signed())
}

#[target_feature(enable = "avx512f")]
#[inline]
fn add(a: Word, b: Word) -> Word {
    _mm512_add_epi32(a, b)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn rotate<const BITS: i32>(a: Word) -> Word {
    _mm512_ror_epi32::<BITS>(a)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn shift<const BITS: u32>(a: Word) -> Word {
    _mm512_srli_epi32::<BITS>(a)
}

/// `a ^ b ^ c`; the constants here and below are the truth tables.
#[target_feature(enable = "avx512f")]
#[inline]
fn xor(a: Word, b: Word, c: Word) -> Word {
    _mm512_ternarylogic_epi32::<0b1001_0110>(a, b, c)
}

/// The bits of `f` where `e` has a one, and of `g` where it has none.
#[target_feature(enable = "avx512f")]
#[inline]
fn choose(e: Word, f: Word, g: Word) -> Word {
    _mm512_ternarylogic_epi32::<0b1100_1010>(e, f, g)
}

/// The bits that two of three have.
#[target_feature(enable = "avx512f")]
#[inline]
fn majority(a: Word, b: Word, c: Word) -> Word {
    _mm512_ternarylogic_epi32::<0b1110_1000>(a, b, c)
}

/// The words of one state of each job, side by side; lanes without a job get zeros.
#[target_feature(enable = "avx512f")]
fn gather(jobs: &[&mut Job], state: fn(&Job) -> &[u32; 8]) -> [Word; 8] {
    let mut rows = Zeroizing::new([[0; LANES]; 8]);
    for (lane, job) in jobs.iter().enumerate() {
        for (row, word) in rows.iter_mut().zip(state(job)) {
            if let Some(place) = row.get_mut(lane) {
                *place = word.cast_signed();
            }
        }
    }
    let mut words = [all(0); 8];
    for (word, [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]) in words.iter_mut().zip(*rows) {
        *word = _mm512_setr_epi32(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p);
    }
    words
}

/// The way back.
#[target_feature(enable = "avx512f")]
fn scatter(words: [Word; 8], jobs: &mut [&mut Job], state: fn(&mut Job) -> &mut [u32; 8]) {
    for (place, word) in words.into_iter().enumerate() {
        for (job, value) in jobs.iter_mut().zip(*lanes(word)) {
            if let Some(place) = state(job).get_mut(place) {
                *place = value.cast_unsigned();
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
fn lanes(word: Word) -> Zeroizing<[i32; LANES]> {
    macro_rules! quarters {
        ($($quarter:literal)*) => {{
            let quarters = [$( _mm512_extracti32x4_epi32::<$quarter>(word) ),*].map(|quarter| [
                _mm_extract_epi32::<0>(quarter),
                _mm_extract_epi32::<1>(quarter),
                _mm_extract_epi32::<2>(quarter),
                _mm_extract_epi32::<3>(quarter),
            ]);
            let mut lanes = Zeroizing::new([0; LANES]);
            for (lane, value) in lanes.iter_mut().zip(quarters.as_flattened()) {
                *lane = *value;
            }
            lanes
        }};
    }
    quarters!(0 1 2 3)
}
