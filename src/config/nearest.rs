//! What somebody who has misspelt a name may have meant.

/// How much alike two names are at least, from 0 to 1, of which one may stand for the other.
const ALIKE: f64 = 0.8;

/// The one of these that is most like a name, if one is like it at all.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = known.into_iter().map(|one| (strsim::jaro_winkler(name, one), one));
    let alike = likeness.filter(|(likeness, _)| *likeness >= ALIKE);
    alike.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, nearest)| nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_near_what_was_meant_and_another_word_is_near_nothing() {
        for (name, expected) in [
            ("chekc", Some("check")),
            ("chek", Some("check")),
            ("tokens", Some("token")),
            ("toekn", Some("token")),
            ("server", Some("serve")),
            ("Token", Some("token")),
            ("sekrit", None),
            ("publish", None),
            ("eyJhbGciOiJIUzI1NiJ9", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, ["serve", "token", "check"]), expected, "{name}");
        }
    }
}
