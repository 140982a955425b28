//! Packets: what MySQL's protocol is made of, over any line.

#![forbid(unsafe_code)]

use super::error::Trouble;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use zeroize::Zeroizing;

/// A packet of this length goes on in the next one: none of ours does, and no answer to us.
const LONGEST: u32 = 0xff_ffff;

/// The line to a server: TCP, TLS or a unix socket.
pub(super) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// A line that packets go over.
pub(super) struct Channel {
    line: BufReader<Box<dyn Line>>,
    sequence: u8,
}

impl Channel {
    /// A line after `sequence` packets, none of which was read ahead.
    pub(super) fn new(line: Box<dyn Line>, sequence: u8) -> Self {
        Self { line: BufReader::new(line), sequence }
    }

    /// The line again, if the server has sent nothing that was not asked for: what came before TLS
    /// must not pass for what comes after.
    pub(super) fn into_line(self) -> Result<(Box<dyn Line>, u8), Trouble> {
        if !self.line.buffer().is_empty() {
            return Err(Trouble::Protocol("the server speaks out of turn"));
        }
        Ok((self.line.into_inner(), self.sequence))
    }

    /// Sends the first packet of a command.
    pub(super) async fn command(&mut self, payload: &[u8]) -> Result<(), Trouble> {
        self.sequence = 0;
        self.send(payload).await
    }

    pub(super) async fn send(&mut self, payload: &[u8]) -> Result<(), Trouble> {
        let length = u32::try_from(payload.len()).ok().filter(|length| *length < LONGEST);
        let length = length.ok_or(Trouble::Protocol("the question is too long"))?;
        let head = (length | u32::from(self.sequence) << 24).to_le_bytes();
        let packet = Zeroizing::new([&head, payload].concat());
        self.line.write_all(&packet).await?;
        self.line.flush().await?;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }

    /// The next packet, unless it is an error.
    pub(super) async fn receive(&mut self) -> Result<Packet, Trouble> {
        let head = self.line.read_u32_le().await?;
        let length = head & LONGEST;
        if length == LONGEST {
            return Err(TOO_LONG);
        }
        // Grows with what comes, not with what is promised.
        let mut payload = Zeroizing::new(Vec::new());
        (&mut self.line).take(length.into()).read_to_end(&mut payload).await?;
        if u32::try_from(payload.len()) != Ok(length) {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let in_turn = head >> 24 == u32::from(self.sequence);
        if payload.first() == Some(&0xff) {
            let (code, message) = Reader(&payload).error().ok_or(GARBLED)?;
            return Err(match in_turn {
                true => Trouble::Server { code, message },
                false => Trouble::Farewell { code, message },
            });
        }
        if !in_turn {
            return Err(Trouble::Protocol("packets come out of order"));
        }
        self.sequence = self.sequence.wrapping_add(1);
        Ok(Packet(payload))
    }

    /// Says goodbye.
    pub(super) async fn quit(&mut self) {
        const COM_QUIT: &[u8] = &[0x01];
        let _ = self.command(COM_QUIT).await;
    }
}

pub(super) const TOO_LONG: Trouble = Trouble::Protocol("the answer is too long");
pub(super) const GARBLED: Trouble = Trouble::Protocol("a packet that cannot be read");

/// What a packet holds: overwritten when dropped, since it may be a hash.
pub(super) struct Packet(Zeroizing<Vec<u8>>);

impl Packet {
    pub(super) fn read(&self) -> Reader<'_> {
        Reader(&self.0)
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The end of a list.
    pub(super) fn is_eof(&self) -> bool {
        self.0.first() == Some(&0xfe) && self.0.len() < 9
    }
}

/// Takes a packet apart, from its beginning; `None` once there is too little.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// A little-endian number of `bytes` bytes, 8 at the most.
    pub(super) fn number(&mut self, bytes: usize) -> Option<u64> {
        let mut whole = [0; 8];
        whole.get_mut(..bytes)?.copy_from_slice(self.take(bytes)?);
        Some(u64::from_le_bytes(whole))
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A text that ends with a NUL, or with the packet.
    pub(super) fn text(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let text = self.take(end).unwrap_or_default();
        let _ = self.byte();
        text
    }

    /// A text behind its length.
    pub(super) fn long_text(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            0xfc => self.number(2)?,
            0xfd => self.number(3)?,
            0xfe => self.number(8)?,
            0xfb | 0xff => return None,
            short => u64::from(short),
        };
        self.take(usize::try_from(length).ok()?)
    }

    fn error(mut self) -> Option<(u16, String)> {
        self.byte()?;
        let code = u16::try_from(self.number(2)?).ok()?;
        // Before the client has said what it understands, no SQLSTATE is sent.
        if self.0.first() == Some(&b'#') {
            self.take(6)?;
        }
        Some((code, String::from_utf8_lossy(self.rest()).into_owned()))
    }
}

/// Appends `text` behind its length.
pub(super) fn put_long_text(packet: &mut Vec<u8>, text: &[u8]) {
    let length = text.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 0xfb => packet.push(short),
        (_, Ok(long)) => {
            packet.push(0xfc);
            packet.extend(long.to_le_bytes());
        }
        _ => {
            packet.push(0xfe);
            packet.extend(u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes());
        }
    }
    packet.extend(text);
}

#[cfg(test)]
mod tests;
