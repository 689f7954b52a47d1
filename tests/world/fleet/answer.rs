//! What an engine answers, written in RESP3 by hand.

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Null,
    Error(String),
    Integer(i64),
    Bulk(String),
    Array(Vec<Answer>),
    Map(Vec<(Answer, Answer)>),
}

impl Answer {
    pub fn bulk(text: impl Into<String>) -> Self {
        Self::Bulk(text.into())
    }

    pub fn write(&self, to: &mut Vec<u8>) {
        let mut line = |text: String| to.extend(format!("{text}\r\n").as_bytes());
        match self {
            Self::Null => line("_".into()),
            Self::Error(text) => line(format!("-{text}")),
            Self::Integer(number) => line(format!(":{number}")),
            Self::Bulk(text) => line(format!("${}\r\n{text}", text.len())),
            Self::Array(parts) => {
                line(format!("*{}", parts.len()));
                parts.iter().for_each(|part| part.write(to));
            }
            Self::Map(pairs) => {
                line(format!("%{}", pairs.len()));
                for (key, value) in pairs {
                    key.write(to);
                    value.write(to);
                }
            }
        }
    }
}
