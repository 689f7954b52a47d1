//! What somebody has sent, as it may be shown in an answer or on a terminal: bounded, and with nothing in it that is not to be
//! seen. Knows nothing of what it means.

/// The characters of it that are shown, at most: enough for any mistake in a name.
const MAX_CHARACTERS: usize = 64;

/// A text between quotation marks, with escapes for what cannot be seen; of a longer one the beginning.
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARACTERS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// A text as it stands, but for control characters; of a longer one the beginning.
pub fn cut(text: &str) -> String {
    let beginning: String = text.chars().take(MAX_CHARACTERS).filter(|c| !c.is_control()).collect();
    let rest = if text.chars().nth(MAX_CHARACTERS).is_some() { "…" } else { "" };
    beginning + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_bounded_and_can_be_seen() {
        assert_eq!(quoted("a \"b\"\n\u{1b}[31m\u{202e}"), r#""a \"b\"\n\u{1b}[31m\u{202e}""#);
        assert_eq!(quoted(&"ö".repeat(64)), format!("\"{}\"", "ö".repeat(64)));
        assert_eq!(quoted(&"ö".repeat(65)), format!("\"{}\"…", "ö".repeat(64)));
    }
}
