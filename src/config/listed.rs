//! Flags of which one value, or a variable, may name several things.

/// What one value names. A type of its own, since `clap` takes a plain list for that of all values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T>(pub Vec<T>);

impl<T: Clone> Listed<T> {
    /// What all values of a flag name.
    pub fn all(values: &[Self]) -> Vec<T> {
        values.iter().flat_map(|value| value.0.iter().cloned()).collect()
    }
}

/// What stands in a list, between commas or spaces. An empty list names nothing.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(|between: char| between == ',' || between.is_ascii_whitespace())
        .filter(|item| !item.is_empty())
}

/// Reads a list, each item of it by `read`; of several the error names the wrong one.
pub(super) fn listed<T>(
    read: impl Fn(&str) -> Result<T, String> + Clone,
) -> impl Fn(&str) -> Result<Listed<T>, String> + Clone {
    move |text| {
        let read =
            |item| read(item).map_err(|why| if item == text { why } else { format!("'{item}': {why}") });
        items(text).map(read).collect::<Result<_, _>>().map(Listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_commas_or_spaces_and_each_item_is_read() {
        let read = listed(|item| item.parse::<u8>().map_err(|why| why.to_string()));
        for (text, expected) in [
            ("1", vec![1]),
            ("1,2 3", vec![1, 2, 3]),
            (" 1, 2,,\n3\t", vec![1, 2, 3]),
            ("", vec![]),
            (" ,", vec![]),
        ] {
            assert_eq!(read(text), Ok(Listed(expected)), "{text:?}");
        }
        assert_eq!(read("x"), Err("invalid digit found in string".to_owned()));
        assert_eq!(read("1, x"), Err("'x': invalid digit found in string".to_owned()));
        assert_eq!(Listed::all(&[Listed(vec![1, 2]), Listed(vec![3])]), [1, 2, 3]);
    }
}
