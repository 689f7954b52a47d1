//! A message of the handshake that comes once that is over, of which there are only some that mean anything: put together of the
//! records it is in. Of its octets nothing is kept but the header.

/// Kind and length (RFC 8446 §4).
const HEAD_BYTES: usize = 4;

/// What has come of a message that is not whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    head: [u8; HEAD_BYTES],
    head_bytes: u8,
    rest_bytes: u32,
}

/// What has come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its header is whole. It is to be judged, before more of it is waited for.
    Head { kind: u8, length: u32 },
    /// All of it, which ends with this octet.
    Whole(u8),
    /// Not as much as that.
    Part,
}

impl Message {
    /// One of which so much has come, if there can be such a one.
    pub fn begun(head: &[u8], rest_bytes: u32) -> Option<Self> {
        let mut message = Self { head_bytes: u8::try_from(head.len()).ok()?, rest_bytes, ..Self::default() };
        message.head.get_mut(..head.len())?.copy_from_slice(head);
        let whole_bytes = if head.len() < HEAD_BYTES { 0 } else { message.length() };
        let is_begun = rest_bytes <= whole_bytes && (rest_bytes > 0 || head.len() < HEAD_BYTES);
        is_begun.then_some(message)
    }

    /// Whether nothing of it has come.
    pub fn is_empty(&self) -> bool {
        self.head_bytes == 0
    }

    /// What has come of its header.
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_bytes)]
    }

    /// How much is to come behind that.
    pub fn rest_bytes(&self) -> u32 {
        self.rest_bytes
    }

    /// Takes as much off the front of the content as leads to the next step.
    pub fn take(&mut self, content: &mut &[u8]) -> Step {
        while usize::from(self.head_bytes) < HEAD_BYTES {
            let Some(octet) = content.split_off_first() else { return Step::Part };
            self.head[usize::from(self.head_bytes)] = *octet;
            self.head_bytes += 1;
            if usize::from(self.head_bytes) == HEAD_BYTES {
                self.rest_bytes = self.length();
                return Step::Head { kind: self.head[0], length: self.rest_bytes };
            }
        }
        let missing = usize::try_from(self.rest_bytes).unwrap_or(usize::MAX);
        let Some(end) = content.split_off(..missing) else {
            self.rest_bytes =
                self.rest_bytes.saturating_sub(u32::try_from(content.len()).unwrap_or(u32::MAX));
            *content = &[];
            return Step::Part;
        };
        *self = Self::default();
        Step::Whole(end.last().copied().unwrap_or_default())
    }

    fn length(&self) -> u32 {
        let [_, high, middle, low] = self.head;
        u32::from_be_bytes([0, high, middle, low])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_put_together_of_any_pieces_and_what_is_behind_it_is_left() {
        let octets = [24, 0, 0, 3, 7, 8, 9, 24];
        for size in 1..=8 {
            let (mut message, mut steps) = (Message::default(), vec![]);
            for mut piece in octets.chunks(size) {
                while !piece.is_empty() && !steps.contains(&Step::Whole(9)) {
                    steps.push(message.take(&mut piece));
                    let begun = Message::begun(message.head(), message.rest_bytes());
                    assert!(message.is_empty() || begun == Some(message.clone()));
                }
            }
            steps.retain(|step| *step != Step::Part);
            assert_eq!(steps, [Step::Head { kind: 24, length: 3 }, Step::Whole(9)]);
            assert!(message.is_empty());
        }
    }

    #[test]
    fn a_message_that_cannot_have_begun_so_is_not_gone_on_with() {
        assert_eq!(Message::begun(&[24, 0, 0, 1, 0], 0), None);
        assert_eq!(Message::begun(&[24, 0, 0, 1], 2), None);
        assert_eq!(Message::begun(&[24, 0, 0, 1], 0), None);
        assert_eq!(Message::begun(&[24], 1), None);
    }
}
