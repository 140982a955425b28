//! What was signed, unpacked: base64, and zlib where it begins with a full stop.

#![forbid(unsafe_code)]

use super::Refusal;
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::{Decompress, FlushDecompress, Status};

/// What inflates to more is refused (bytes). Django has no bound.
pub(super) const MAX_INFLATED: usize = 4 * 1024 * 1024;

/// As `b64_decode` takes it. Python also skips what is no base64 at all; Django writes no such thing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The second half of `Signer.unsign_object`.
pub(super) fn decode(payload: &[u8]) -> Result<Vec<u8>, Refusal> {
    let base64 = |text| BASE64.decode(text).map_err(|_| Refusal::Base64);
    match payload.strip_prefix(b".") {
        Some(compressed) => inflate(&base64(compressed)?),
        None => base64(payload),
    }
}

/// `zlib.decompress`: a whole stream, with its checksum; Python too ignores what follows it.
fn inflate(compressed: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut stream = Decompress::new(true);
    let mut rest = compressed;
    let mut data = Vec::with_capacity(compressed.len().saturating_mul(4).min(MAX_INFLATED));
    loop {
        if data.len() == data.capacity() {
            data.reserve(data.len().clamp(1024, MAX_INFLATED));
        }
        let before = (stream.total_in(), stream.total_out());
        let status = stream.decompress_vec(rest, &mut data, FlushDecompress::None);
        let taken = usize::try_from(stream.total_in() - before.0).map_err(|_| Refusal::Zlib)?;
        rest = rest.get(taken..).unwrap_or_default();
        match status {
            Err(_) => return Err(Refusal::Zlib),
            Ok(_) if data.len() > MAX_INFLATED => return Err(Refusal::TooBig),
            Ok(Status::StreamEnd) => return Ok(data),
            // There was room: it waits for more input.
            Ok(_) if (stream.total_in(), stream.total_out()) == before => {
                return Err(Refusal::Zlib);
            }
            Ok(_) => {}
        }
    }
}
