//! How a certificate authority sees over plain HTTP that a name is this server's (RFC 8555 §8.3): it asks for a file that an
//! ACME client, such as certbot, has put there. Which file that is; no file is read here.

/// Where challenges are, below the root.
pub const FOLDER: &str = ".well-known/acme-challenge/";

/// Tokens have at least 22 characters (RFC 8555 §8.3), and those of today's authorities 43.
const MAX_TOKEN_BYTES: usize = 128;

/// The file that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge(Box<str>);

impl Challenge {
    /// What this path asks for; `None` if that is no challenge. A token consists of the letters of base64url alone, so that it
    /// names a file of this folder and none of another.
    pub fn read(path: &str) -> Option<Self> {
        let relative = path.strip_prefix('/')?;
        let token = relative.strip_prefix(FOLDER)?;
        let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        let is_token = (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(is_allowed);
        is_token.then(|| Self(relative.into()))
    }

    /// The path of the file, relative to the root.
    pub fn file(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_a_file_of_its_folder_and_none_of_another() {
        let read = |token: &str| Challenge::read(&format!("/{FOLDER}{token}"));
        let longest = "x".repeat(MAX_TOKEN_BYTES);
        for token in ["x", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA", "-_-", &longest] {
            assert_eq!(read(token).unwrap().file(), format!(".well-known/acme-challenge/{token}"));
        }
        for other in
            ["", ".", "..", "../x", "x/y", "x.", "%78", "x%2f", "x\0", "x=", "x+", &format!("{longest}x")]
        {
            assert_eq!(read(other), None, "{other}");
        }
        for other in [
            "",
            "/",
            "/.well-known/acme-challenge",
            "//.well-known/acme-challenge/x",
            "/x",
            "*",
            "/.well-known/x",
        ] {
            assert_eq!(Challenge::read(other), None, "{other}");
        }
    }
}
