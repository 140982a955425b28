//! The iterations of one check by the block functions of `sha2` and `sha1`, on any CPU.
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use super::job::{Job, State};

/// Does `iterations` more, without counting them.
///
/// The `pbkdf2` crate clones a whole HMAC and pads a message for each. Here a message is always a
/// digest, so that it is one block with a padding that never changes.
pub(super) fn advance<S: State>(job: &mut Job<S>, iterations: u32) {
    let mut block = Zeroizing::new(padding(size_of::<S>()));
    for _ in 0..iterations {
        for start in [job.inner, job.outer] {
            for (bytes, word) in block.as_chunks_mut().0.iter_mut().zip(job.last.as_ref()) {
                *bytes = word.to_be_bytes();
            }
            job.last = start;
            job.last.compress(&block);
        }
        for (sum, word) in job.sum.as_mut().iter_mut().zip(job.last.as_ref()) {
            *sum ^= word;
        }
    }
}

/// The block of a message of `length` bytes, all zero, that follows the key block of HMAC.
fn padding(length: usize) -> [u8; 64] {
    let mut block = [0; 64];
    if let Some(end) = block.get_mut(length) {
        *end = 0x80;
    }
    if let Some(bits) = block.last_chunk_mut() {
        *bits = ((64 + length as u64) * 8).to_be_bytes();
    }
    block
}
