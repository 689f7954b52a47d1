//! What may be shown of the words of an engine, or of whoever answers in its place: one line, not a long one, and never the password
//! that this server has sent. Decides nothing else.

/// How much of foreign words is shown.
const SHOWN_CHARACTERS: usize = 200;

/// Shorter ones are part of ordinary words, and hidden only where they stand alone: whoever chooses such a password hides nothing by
/// it, and every text would be full of holes.
const SHORT_BYTES: usize = 4;

const HIDDEN: &str = "***";

/// Foreign words as the log, operators and publishers may read them.
pub(super) fn shown(words: &str, password: Option<&str>) -> String {
    // Hidden ahead of the cut, which might leave a part of it.
    let hidden = password.filter(|password| !password.is_empty()).map(|password| hide(words, password));
    let words = hidden.as_deref().unwrap_or(words);
    words.chars().take(SHOWN_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn hide(words: &str, password: &str) -> String {
    let mut left = words;
    let (mut hidden, mut before) = (String::with_capacity(words.len()), None);
    while let Some(next) = left.chars().next() {
        let length = password_length(left.as_bytes(), password.as_bytes()).filter(|length| {
            let behind = left[*length..].chars().next();
            password.len() >= SHORT_BYTES
                || [before, behind].into_iter().flatten().all(|c| !c.is_alphanumeric())
        });
        hidden.push_str(if length.is_some() { HIDDEN } else { &left[..next.len_utf8()] });
        let length = length.unwrap_or(next.len_utf8());
        before = left[..length].chars().next_back();
        left = &left[length..];
    }
    hidden
}

/// How long the password is with which a text begins, if it does: each octet as it is, or as a URL may have it (RFC 3986 §2.1).
fn password_length(text: &[u8], password: &[u8]) -> Option<usize> {
    let mut left = text;
    for octet in password {
        let escaped = || {
            let digits = str::from_utf8(left.strip_prefix(b"%")?.get(..2)?).ok()?;
            let is_it = digits.bytes().all(|digit| digit.is_ascii_hexdigit())
                && u8::from_str_radix(digits, 16).ok()? == *octet;
            is_it.then(|| &left[3..])
        };
        left = left.strip_prefix(&[*octet]).or_else(escaped)?;
    }
    Some(text.len() - left.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_shown(password: &str, words: &str, expected: &str) {
        assert_eq!(shown(words, Some(password)), expected, "{password:?}");
    }

    #[test]
    fn a_password_is_hidden_wherever_it_stands_and_also_as_a_url_has_it() {
        is_shown(
            "secret",
            "ERR unknown 'secret', secretsecret mysecrets",
            "ERR unknown '***', ****** my***s",
        );
        is_shown(
            "s/e@ret",
            "s/e@ret s%2Fe%40ret s%2fe@ret %73%2F%65%40%72%65%74 s%2ret",
            "*** *** *** *** s%2ret",
        );
        is_shown("100%", "100% 100%25 100%2 10", "*** ***25 ***2 10");
        is_shown("grün", "ist grün, gr%C3%BCn, gr\u{fffd}n", "ist ***, ***, gr\u{fffd}n");
        is_shown("aaab", "aaaab aab", "a*** aab");
    }

    #[test]
    fn a_short_one_is_hidden_only_where_it_stands_alone() {
        is_shown("s", "ERR is 's' a user, s?", "ERR is '***' a user, ***?");
        is_shown("a b", "a b a bc", "*** a bc");
        is_shown("5", "HELLO 3 AUTH default 5 15", "HELLO 3 AUTH default *** 15");
    }

    #[test]
    fn what_is_cut_off_leaves_no_part_of_a_password() {
        for before in SHOWN_CHARACTERS - 8..SHOWN_CHARACTERS {
            let told = shown(&format!("{}secret", "x".repeat(before)), Some("secret"));
            assert_eq!(told.trim_start_matches('x').trim_matches('*'), "", "{told}");
        }
    }

    #[test]
    fn foreign_words_are_one_line_and_not_a_long_one() {
        assert_eq!(shown("a\r\nb\x1b[31m", None), "a  b [31m");
        assert_eq!(shown(&"x".repeat(10_000), None).len(), SHOWN_CHARACTERS);
    }
}
