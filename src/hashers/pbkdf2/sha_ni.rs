//! SHA-256 by x86's own instructions, several checks interleaved: while one waits for the result of
//! an instruction, another uses it.
//!
//! Safe but for the one call that follows the look at the CPU.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::job::Job;

/// The constants of the 64 rounds (FIPS 180-4, 4.2.2).
#[rustfmt::skip]
pub(super) const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// That this CPU has the instructions.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShaNi(());

impl ShaNi {
    /// Looks at the CPU; the standard library remembers what it saw.
    pub(super) fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1");
        there.then_some(Self(()))
    }

    /// Does `iterations` more of each job, without counting them.
    pub(super) fn advance<const N: usize>(self, jobs: &mut [&mut Job; N], iterations: u32) {
        // SAFETY: `detect` alone makes a `ShaNi`: the CPU has the features of `advance`.
        unsafe { advance(jobs, iterations) }
    }
}

/// Eight words. A digest is in its own order, a state in that of the instructions: ABEF, CDGH.
type Words = [__m128i; 2];

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn advance<const N: usize>(jobs: &mut [&mut Job; N], iterations: u32) {
    let inner = jobs.each_ref().map(|job| state(&job.inner));
    let outer = jobs.each_ref().map(|job| state(&job.outer));
    let mut last = jobs.each_ref().map(|job| digest(&job.last));
    let mut sum = jobs.each_ref().map(|job| digest(&job.sum));
    for _ in 0..iterations {
        last = compress(&inner, last);
        last = compress(&outer, last);
        for ([sum_a, sum_b], [last_a, last_b]) in sum.iter_mut().zip(last) {
            *sum_a = _mm_xor_si128(*sum_a, last_a);
            *sum_b = _mm_xor_si128(*sum_b, last_b);
        }
    }
    for ((job, last), sum) in jobs.iter_mut().zip(last).zip(sum) {
        job.last = words(last);
        job.sum = words(sum);
    }
}

/// One hash on its way through the 64 rounds.
#[derive(Clone, Copy)]
struct Hash {
    abef: __m128i,
    cdgh: __m128i,
    /// The sixteen words of the message schedule that come next.
    window: [__m128i; 4],
}

/// The digests of one block each, a digest and its padding, by hash functions that stand at `start`.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn compress<const N: usize>(start: &[Words; N], digests: [Words; N]) -> [Words; N] {
    let mut hashes = digests.map(|[a, b]| Hash {
        abef: a,
        cdgh: b,
        // A one after the 32 bytes of the digest, and the length with HMAC's key block, in bits.
        window: [a, b, set([0x8000_0000, 0, 0, 0]), set([0, 0, 0, 768])],
    });
    for (hash, [abef, cdgh]) in hashes.iter_mut().zip(start) {
        (hash.abef, hash.cdgh) = (*abef, *cdgh);
    }
    // Unrolled, so that the windows are moved by the compiler and not by the CPU.
    macro_rules! rounds {
        ($($group:literal)*) => {$(
            let k = set([K[4 * $group], K[4 * $group + 1], K[4 * $group + 2], K[4 * $group + 3]]);
            for hash in &mut hashes {
                hash.four_rounds(k);
            }
        )*};
    }
    rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    let mut digests = digests;
    for ((digest, hash), [abef, cdgh]) in digests.iter_mut().zip(hashes).zip(start) {
        let abef = _mm_castsi128_ps(_mm_add_epi32(hash.abef, *abef));
        let cdgh = _mm_castsi128_ps(_mm_add_epi32(hash.cdgh, *cdgh));
        *digest = [
            _mm_castps_si128(_mm_shuffle_ps::<0b10_11_10_11>(abef, cdgh)),
            _mm_castps_si128(_mm_shuffle_ps::<0b00_01_00_01>(abef, cdgh)),
        ];
    }
    digests
}

impl Hash {
    /// Four rounds, and four words more of the schedule; those of the last groups are used by none,
    /// and left out by the compiler.
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    #[inline]
    fn four_rounds(&mut self, k: __m128i) {
        let [a, b, c, d] = self.window;
        let message = _mm_add_epi32(a, k);
        self.cdgh = _mm_sha256rnds2_epu32(self.cdgh, self.abef, message);
        let message = _mm_shuffle_epi32::<0b00_00_11_10>(message);
        self.abef = _mm_sha256rnds2_epu32(self.abef, self.cdgh, message);
        let next = _mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8::<4>(d, c));
        self.window = [b, c, d, _mm_sha256msg2_epu32(next, d)];
    }
}

#[target_feature(enable = "sse2")]
#[inline]
fn set([a, b, c, d]: [u32; 4]) -> __m128i {
    _mm_set_epi32(d.cast_signed(), c.cast_signed(), b.cast_signed(), a.cast_signed())
}

#[target_feature(enable = "sse2")]
#[inline]
fn digest(&[a, b, c, d, e, f, g, h]: &[u32; 8]) -> Words {
    [set([a, b, c, d]), set([e, f, g, h])]
}

#[target_feature(enable = "sse2")]
#[inline]
fn state(&[a, b, c, d, e, f, g, h]: &[u32; 8]) -> Words {
    [set([f, e, b, a]), set([h, g, d, c])]
}

/// The words of a digest.
#[target_feature(enable = "sse4.1")]
#[inline]
fn words([a, b]: Words) -> [u32; 8] {
    [
        _mm_extract_epi32::<0>(a),
        _mm_extract_epi32::<1>(a),
        _mm_extract_epi32::<2>(a),
        _mm_extract_epi32::<3>(a),
        _mm_extract_epi32::<0>(b),
        _mm_extract_epi32::<1>(b),
        _mm_extract_epi32::<2>(b),
        _mm_extract_epi32::<3>(b),
    ]
    .map(i32::cast_unsigned)
}
