//! Prepared statements, their values, and rows of text.

#![forbid(unsafe_code)]

use super::error::Trouble;
use super::packet::{Channel, GARBLED, Packet, TOO_LONG, put_long_text};
use crate::store::question::Row;
use std::borrow::Cow;

/// More columns than anything of ours has.
const MOST_COLUMNS: usize = 64;
/// More bytes than any answer takes, be it `MOST_PASSWORDS` rows: here somebody else answers.
const MOST_MEMORY: usize = 64 << 20;

/// A statement that the server has prepared for this connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statement {
    id: u32,
    parameters: u16,
}

/// Runs `sql`, which returns no rows and holds nothing that anybody but us has written.
pub(super) async fn run(channel: &mut Channel, sql: &str) -> Result<(), Trouble> {
    const COM_QUERY: u8 = 0x03;
    channel.command(&[&[COM_QUERY], sql.as_bytes()].concat()).await?;
    match channel.receive().await?.read().byte() {
        Some(0) => Ok(()),
        _ => Err(GARBLED),
    }
}

pub(super) async fn prepare(channel: &mut Channel, sql: &str) -> Result<Statement, Trouble> {
    const COM_STMT_PREPARE: u8 = 0x16;
    channel.command(&[&[COM_STMT_PREPARE], sql.as_bytes()].concat()).await?;
    let answer = channel.receive().await?;
    let mut answer = answer.read();
    let mut number = |bytes| answer.number(bytes).ok_or(GARBLED);
    let (status, id, columns, parameters) = (number(1)?, number(4)?, number(2)?, number(2)?);
    if status != 0 {
        return Err(GARBLED);
    }
    for count in [parameters, columns] {
        skip_definitions(channel, count).await?;
    }
    let id = u32::try_from(id).map_err(|_| GARBLED)?;
    Ok(Statement { id, parameters: u16::try_from(parameters).map_err(|_| GARBLED)? })
}

/// The rows for `values`, one for each parameter of the statement.
pub(super) async fn execute(
    channel: &mut Channel,
    statement: Statement,
    values: &[Cow<'_, str>],
) -> Result<Vec<Row>, Trouble> {
    if values.len() != usize::from(statement.parameters) {
        return Err(Trouble::Parameters);
    }
    channel.command(&execution(statement, values)).await?;
    let count = channel.receive().await?;
    let count = count.read().byte().map_or(0, usize::from);
    if !(1..=MOST_COLUMNS).contains(&count) {
        return Err(GARBLED);
    }
    skip_definitions(channel, u64::try_from(count).unwrap_or_default()).await?;
    let (mut rows, mut memory) = (Vec::new(), 0);
    loop {
        let packet = channel.receive().await?;
        if packet.is_eof() {
            return Ok(rows);
        }
        memory += size_of::<Row>() + count * size_of::<Option<String>>() + packet.len();
        if memory > MOST_MEMORY {
            return Err(TOO_LONG);
        }
        rows.push(row(&packet, count).ok_or(GARBLED)?);
    }
}

fn execution(statement: Statement, values: &[Cow<'_, str>]) -> Vec<u8> {
    const COM_STMT_EXECUTE: u8 = 0x17;
    const NO_CURSOR: u8 = 0;
    const VAR_STRING: u16 = 0xfd;
    let mut packet = vec![COM_STMT_EXECUTE];
    packet.extend(statement.id.to_le_bytes());
    packet.push(NO_CURSOR);
    packet.extend(1_u32.to_le_bytes());
    if !values.is_empty() {
        // None is NULL; their types follow.
        packet.resize(packet.len() + values.len().div_ceil(8), 0);
        packet.push(1);
        values.iter().for_each(|_| packet.extend(VAR_STRING.to_le_bytes()));
        values.iter().for_each(|value| put_long_text(&mut packet, value.as_bytes()));
    }
    packet
}

async fn skip_definitions(channel: &mut Channel, count: u64) -> Result<(), Trouble> {
    if count == 0 {
        return Ok(());
    }
    for _ in 0..count {
        channel.receive().await?;
    }
    if channel.receive().await?.is_eof() { Ok(()) } else { Err(GARBLED) }
}

/// A row whose columns are all texts.
fn row(packet: &Packet, count: usize) -> Option<Row> {
    let mut reader = packet.read();
    if reader.byte()? != 0 {
        return None;
    }
    // The first two bits mean nothing.
    let nulls = reader.take((count + 2).div_ceil(8))?;
    let is_null = |column: usize| {
        let bit = column + 2;
        nulls.get(bit / 8).is_some_and(|byte| byte & 1 << (bit % 8) != 0)
    };
    (0..count)
        .map(|column| {
            if is_null(column) {
                return Some(None);
            }
            let text = std::str::from_utf8(reader.long_text()?).ok()?;
            Some(Some(text.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
