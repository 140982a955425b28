//! `Job`: what a check is between two chunks of its iterations.
#![forbid(unsafe_code)]

use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// The chaining value of a hash function with blocks of 64 bytes, and what makes the next one.
pub trait State: Copy + Default + AsRef<[u32]> + AsMut<[u32]> + Zeroize {
    /// The hash function as a whole.
    type Hash: Digest;

    /// What it begins with.
    const INITIAL: Self;

    /// Its block function.
    fn compress(&mut self, block: &[u8; 64]);
}

/// SHA-256 (FIPS 180-4, 5.3.3).
impl State for [u32; 8] {
    type Hash = Sha256;

    const INITIAL: Self = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    #[inline]
    fn compress(&mut self, block: &[u8; 64]) {
        sha2::block_api::compress256(self, std::slice::from_ref(block));
    }
}

/// SHA-1 (FIPS 180-4, 5.3.1).
impl State for [u32; 5] {
    type Hash = Sha1;

    const INITIAL: Self = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

    #[inline]
    fn compress(&mut self, block: &[u8; 64]) {
        sha1::block_api::compress(self, std::slice::from_ref(block));
    }
}

/// One block of PBKDF2-HMAC (RFC 8018, 5.2), as far as it got; any engine can go on with it.
///
/// Everything in it is as good as the password to whoever guesses, so it is cleared in the end.
pub struct Job<S: State = [u32; 8]> {
    /// The hash function after the key block of HMAC's inner hash, with which each one begins.
    pub(super) inner: S,
    /// The same of the outer hash.
    pub(super) outer: S,
    /// The last U of the RFC, which the next iteration hashes.
    pub(super) last: S,
    /// The exclusive or of all U so far.
    pub(super) sum: S,
    /// How many iterations are still to be done.
    pub(super) left: u32,
}

impl<S: State> Job<S> {
    /// Does the first of the `iterations`; there is always one.
    pub fn new(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let mut key = Zeroizing::new([0; 64]);
        if password.len() > key.len() {
            fill(&mut key, &S::Hash::digest(password));
        } else {
            fill(&mut key, password);
        }
        let inner_key = Zeroizing::new(key.map(|byte| byte ^ 0x36));
        let outer_key = Zeroizing::new(key.map(|byte| byte ^ 0x5c));
        let message = S::Hash::new().chain_update(*inner_key).chain_update(salt);
        let message = message.chain_update(1_u32.to_be_bytes()).finalize();
        let first = S::Hash::new().chain_update(*outer_key).chain_update(message).finalize();

        let (mut inner, mut outer, mut last) = (S::INITIAL, S::INITIAL, S::default());
        inner.compress(&inner_key);
        outer.compress(&outer_key);
        for (word, bytes) in last.as_mut().iter_mut().zip(first.as_chunks().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        Self { inner, outer, last, sum: last, left: iterations.saturating_sub(1) }
    }

    /// Whether no iteration is left.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// The derived key, once the job is done: 32 bytes of SHA-256, 20 of SHA-1.
    pub fn derived(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Vec::with_capacity(size_of::<S>());
        bytes.extend(self.sum.as_ref().iter().flat_map(|word| word.to_be_bytes()));
        Zeroizing::new(bytes)
    }
}

impl<S: State> Drop for Job<S> {
    fn drop(&mut self) {
        for state in [&mut self.inner, &mut self.outer, &mut self.last, &mut self.sum] {
            state.zeroize();
        }
    }
}

fn fill(key: &mut [u8; 64], bytes: &[u8]) {
    for (place, byte) in key.iter_mut().zip(bytes) {
        *place = *byte;
    }
}
