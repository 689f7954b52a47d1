//! An event stream as a browser reads it: the algorithm of WHATWG HTML, "Interpreting an event stream".

/// What a browser dispatches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `message` where the stream names none.
    pub name: String,
    pub data: String,
    pub last_event_id: String,
}

/// Takes a stream apart, however it is cut.
#[derive(Debug, Default)]
pub struct Reader {
    /// What it would send as `Last-Event-ID`.
    pub last_event_id: String,
    /// The time until it connects again, in milliseconds, if the stream has set it.
    pub retry: Option<u64>,
    /// Comments so far.
    pub comments: usize,
    line: String,
    follows_cr: bool,
    name: String,
    data: String,
    id: String,
}

impl Reader {
    /// The events that become whole with this.
    pub fn read(&mut self, text: &str) -> Vec<Event> {
        let mut events = vec![];
        for character in text.chars() {
            let ends_crlf = std::mem::take(&mut self.follows_cr) && character == '\n';
            match character {
                '\n' if ends_crlf => {}
                '\r' | '\n' => {
                    self.follows_cr = character == '\r';
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.take(&line));
                }
                _ => self.line.push(character),
            }
        }
        events
    }

    /// Whether nothing would be lost if the stream ended here.
    pub fn is_between_blocks(&self) -> bool {
        self.line.is_empty() && self.data.is_empty() && self.name.is_empty() && self.id == self.last_event_id
    }

    fn take(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments += 1,
            "event" => value.clone_into(&mut self.name),
            "data" => self.data.extend([value, "\n"]),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit()) => {
                self.retry = value.parse().ok();
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        self.last_event_id.clone_from(&self.id);
        let (name, mut data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        data.pop()?;
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(Event { name, data, last_event_id: self.last_event_id.clone() })
    }
}
