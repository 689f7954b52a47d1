//! One line of the log: `2026-11-22T12:00:00.000Z [INFO] text` for people, or a JSON object for programs. Whatever is logged, it is
//! one line.

use std::io::{self, Write};

use jiff::Timestamp;
use log::kv::{self, VisitSource};
use log::{Level, Record};
use serde_json::Value;

use crate::config::LogFormat;

/// How lines are written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Layout {
    pub(super) format: LogFormat,
    pub(super) is_coloured: bool,
    /// The number of one of several workers.
    pub(super) worker: Option<u32>,
    /// The longest line, its end included.
    pub(super) most_bytes: usize,
}

impl Layout {
    /// Writes a line.
    pub(super) fn write(self, line: &mut impl Write, now: Timestamp, record: &Record<'_>) -> io::Result<()> {
        match self.format {
            LogFormat::Text => self.write_text(line, now, record),
            LogFormat::Json => {
                let mut fields = Fields(vec![]);
                // It never fails: whatever has no other form is written as text.
                let _ = record.key_values().visit(&mut fields);
                let target = Some(record.target());
                line.write_all(&self.object(
                    now,
                    record.level(),
                    target,
                    record.args().to_string(),
                    &fields.0,
                ))
            }
        }
    }

    /// Says that so many lines were lost.
    pub(super) fn lost(self, now: Timestamp, lost: u64) -> Vec<u8> {
        let message = format!("{lost} log lines lost: standard error did not take them");
        match self.format {
            LogFormat::Text => format!("{now:.3} [WARNING] {message}\n").into_bytes(),
            LogFormat::Json => self.object(now, Level::Warn, None, message, &[]),
        }
    }

    fn write_text(self, line: &mut impl Write, now: Timestamp, record: &Record<'_>) -> io::Result<()> {
        let colour = match record.level() {
            Level::Error => "\x1b[31m",
            Level::Warn => "\x1b[33m",
            Level::Info => "\x1b[32m",
            Level::Debug => "\x1b[34m",
            Level::Trace => "\x1b[2m",
        };
        let (colour, plain) = if self.is_coloured { (colour, "\x1b[0m") } else { ("", "") };
        write!(line, "{now:.3} [{colour}{}{plain}] ", name(record.level()))?;
        if let Some(number) = self.worker {
            write!(line, "worker {number} ({}): ", std::process::id())?;
        }
        writeln!(line, "{}", record.args())
    }

    /// The message is cut where the line would be too long.
    fn object(
        self,
        now: Timestamp,
        level: Level,
        target: Option<&str>,
        mut message: String,
        fields: &[(String, Value)],
    ) -> Vec<u8> {
        let mut is_cut = false;
        loop {
            let mut members: Vec<(&str, Value)> = vec![
                ("timestamp", format!("{now:.3}").into()),
                ("level", name(level).into()),
                ("message", message.as_str().into()),
            ];
            members.extend(fields.iter().map(|(key, value)| (key.as_str(), value.clone())));
            members.push(("pid", std::process::id().into()));
            members.extend(self.worker.map(|number| ("worker", number.into())));
            members.extend(target.map(|target| ("target", target.into())));
            members.extend(is_cut.then_some(("truncated", true.into())));
            // In this order, which a `Map` would not keep.
            let members = members.iter().map(|(key, value)| format!("{}:{value}", Value::from(*key)));
            let line = format!("{{{}}}\n", members.collect::<Vec<_>>().join(","));
            let line = escape_controls(line);
            if line.len() <= self.most_bytes || message.is_empty() {
                return line.into_bytes();
            }
            let half = message.chars().count() / 2;
            message = message.chars().take(half).collect();
            is_cut = true;
        }
    }
}

/// JSON leaves those in that are not ASCII's, which terminals obey all the same. The end of the line stays.
fn escape_controls(line: String) -> String {
    let is_to_be_escaped = |c: char| c.is_control() && c != '\n';
    if !line.contains(is_to_be_escaped) {
        return line;
    }
    let escaped =
        |c: char| if is_to_be_escaped(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    line.chars().map(escaped).collect()
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Warn => "WARNING",
        level => level.as_str(),
    }
}

/// What a line has beside its message.
struct Fields(Vec<(String, Value)>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        let value = value.to_u64().map_or_else(|| value.to_string().into(), Value::from);
        // What is not known is not there.
        if value != "" {
            self.0.push((key.as_str().to_owned(), value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST_BYTES: usize = 1000;

    fn written(layout: Layout, level: Level, message: &str) -> String {
        let mut line = vec![];
        let layout = Layout { most_bytes: MOST_BYTES, ..layout };
        let args = format_args!("{message}");
        let record = Record::builder().level(level).target("slackwater::x").args(args).build();
        layout.write(&mut line, Timestamp::UNIX_EPOCH, &record).unwrap();
        String::from_utf8(line).unwrap()
    }

    fn json(message: &str) -> Value {
        let line = written(Layout { format: LogFormat::Json, ..Layout::default() }, Level::Warn, message);
        assert!(line.ends_with('\n') && line.chars().filter(|c| c.is_control()).count() == 1, "{line:?}");
        assert!(line.len() <= MOST_BYTES, "{} bytes", line.len());
        assert!(
            line.starts_with(r#"{"timestamp":"1970-01-01T00:00:00.000Z","level":"WARNING","message":""#),
            "{line}"
        );
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_line_has_its_time_and_level() {
        let [plain, coloured] = [false, true].map(|is_coloured| Layout { is_coloured, ..Layout::default() });
        assert_eq!(written(plain, Level::Info, "text"), "1970-01-01T00:00:00.000Z [INFO] text\n");
        assert_eq!(written(plain, Level::Warn, "text"), "1970-01-01T00:00:00.000Z [WARNING] text\n");
        assert_eq!(
            written(coloured, Level::Error, "text"),
            "1970-01-01T00:00:00.000Z [\x1b[31mERROR\x1b[0m] text\n"
        );
    }

    #[test]
    fn whatever_is_logged_is_one_json_object_in_one_line() {
        let expected = serde_json::json!({
            "timestamp": "1970-01-01T00:00:00.000Z", "level": "WARNING", "message": "a\n\u{1b}[31m\u{9b}\u{7f}\"",
            "pid": std::process::id(), "target": "slackwater::x",
        });
        assert_eq!(json("a\n\u{1b}[31m\u{9b}\u{7f}\""), expected);
        for long in ["x".repeat(5000), "\u{1}".repeat(5000), "\u{1f600}".repeat(5000)] {
            let said = json(&long);
            assert!(said["truncated"] == true && long.starts_with(said["message"].as_str().unwrap()));
        }
    }

    #[test]
    fn what_a_line_has_beside_its_message_are_fields() {
        let layout =
            Layout { format: LogFormat::Json, worker: Some(2), most_bytes: MOST_BYTES, ..Layout::default() };
        let pairs = [("connection", "a-1"), ("subject", "")];
        let (mut line, pairs) = (vec![], &pairs[..]);
        let record = Record::builder().args(format_args!("x")).key_values(&pairs).build();
        layout.write(&mut line, Timestamp::UNIX_EPOCH, &record).unwrap();
        let said: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!((&said["connection"], &said["worker"]), (&"a-1".into(), &2.into()));
        assert_eq!(said.get("subject"), None);
    }

    #[test]
    fn how_many_lines_were_lost_is_said_in_the_same_way() {
        let said: Value = serde_json::from_slice(
            &Layout { format: LogFormat::Json, ..Layout::default() }.lost(Timestamp::UNIX_EPOCH, 2),
        )
        .unwrap();
        assert_eq!(said["level"], "WARNING");
    }
}
