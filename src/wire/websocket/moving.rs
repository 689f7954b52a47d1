//! A WebSocket in the midst of a frame or a message, as it is handed over to another process.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::{LONGEST_HEADER, Message, OpenFrame, Session, Unfinished};
use crate::wire::extensions::Compression;
use crate::wire::handover::Damaged;
use crate::wire::handover::record;

/// No control frame is longer (RFC 6455 §5.5).
const LONGEST_CONTROL: usize = 125;

impl Session {
    /// What has come of a frame or a message that is not whole.
    pub fn unfinished(&self) -> Option<record::Unfinished> {
        self.unfinished.as_deref().map(|unfinished| record::Unfinished {
            header: unfinished.header.clone(),
            frame: unfinished.frame.as_ref().map(|frame| record::OpenFrame {
                opcode: frame.opcode.into(),
                is_final: frame.is_final,
                remaining: frame.remaining as u64,
                mask: frame.mask,
            }),
            control: unfinished.control.clone(),
            message: unfinished.message.as_ref().map(|message| record::Message {
                is_text: message.is_text,
                is_compressed: message.is_compressed,
                payload: message.payload.clone(),
            }),
        })
    }

    /// How much has come of a message that is not whole.
    pub fn unfinished_bytes(&self) -> usize {
        let message = self.unfinished.as_deref().and_then(|unfinished| unfinished.message.as_ref());
        message.map_or(0, |message| message.payload.len())
    }

    /// One that goes on in the midst of this.
    ///
    /// # Errors
    /// When none can be in the midst of that.
    pub fn resumed(
        compression: Option<Compression>,
        unfinished: Option<record::Unfinished>,
    ) -> Result<Self, Damaged> {
        let unfinished = unfinished.map(|record| unpack(record, compression.is_some())).transpose()?;
        Ok(Self { unfinished, compression, ended: false })
    }
}

fn unpack(record: record::Unfinished, may_be_compressed: bool) -> Result<Box<Unfinished>, Damaged> {
    let message = record.message.map(|message| {
        // Which of it is known to be UTF-8 is found out anew.
        let mut message = Message {
            is_text: message.is_text,
            is_compressed: message.is_compressed,
            payload: message.payload,
            valid_bytes: 0,
        };
        let is_valid = !message.is_text || message.is_compressed || message.check_utf8().is_ok();
        if is_valid && (may_be_compressed || !message.is_compressed) { Ok(message) } else { Err(Damaged) }
    });
    let message = message.transpose()?;
    let frame = record.frame.map(|frame| {
        // The crate panics at what has more bits.
        let opcode = if frame.opcode < 16 { OpCode::from(frame.opcode) } else { return Err(Damaged) };
        let remaining = usize::try_from(frame.remaining).map_err(|_| Damaged)?;
        let is_possible = remaining > 0
            && match opcode {
                OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => false,
                OpCode::Data(_) => message.is_some() && record.control.is_empty(),
                OpCode::Control(_) => {
                    frame.is_final && remaining.saturating_add(record.control.len()) <= LONGEST_CONTROL
                }
            };
        let frame = OpenFrame { opcode, is_final: frame.is_final, remaining, mask: frame.mask };
        if is_possible { Ok(frame) } else { Err(Damaged) }
    });
    let frame = frame.transpose()?;
    let is_part_of_a_header = matches!(FrameHeader::parse(&mut Cursor::new(&record.header)), Ok(None));
    let is_possible = record.header.len() < LONGEST_HEADER
        && (record.header.is_empty() || is_part_of_a_header)
        && (record.header.is_empty() || frame.is_none())
        && (record.control.is_empty() || frame.is_some());
    let unfinished = Unfinished { header: record.header, frame, control: record.control, message };
    if is_possible && !unfinished.is_idle() { Ok(Box::new(unfinished)) } else { Err(Damaged) }
}
