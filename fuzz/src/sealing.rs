//! A client of TLS whose handshake is over: it encrypts whatever it is told to, whether or not that may come. It is written from the
//! standards anew, and so is a judge of what the server makes of them.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{self, KeyType, Prk};
use slackwater::wire::octets::Octets;
use slackwater::wire::tls::{Direction, Exported};

/// One of each version and cipher.
const SUITES: [(u16, &aead::Algorithm); 6] = [
    (0x1301, &aead::AES_128_GCM),
    (0x1302, &aead::AES_256_GCM),
    (0x1303, &aead::CHACHA20_POLY1305),
    (0xc02b, &aead::AES_128_GCM),
    (0xc02c, &aead::AES_256_GCM),
    (0xcca9, &aead::CHACHA20_POLY1305),
];

pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const APPLICATION_DATA: u8 = 23;

/// What protects what the client says.
pub struct Sealing {
    suite: u16,
    aead: &'static aead::Algorithm,
    key: Vec<u8>,
    iv: [u8; 12],
    secret: Vec<u8>,
    seq: u64,
}

impl Sealing {
    /// With one of the six suites.
    pub fn new(suite: u8) -> Self {
        let (suite, aead) = SUITES[usize::from(suite) % SUITES.len()];
        let secret = vec![7; if suite == 0x1302 { 48 } else { 32 }];
        let mut sealing = Self { suite, aead, key: vec![7; aead.key_len()], iv: [7; 12], secret, seq: 0 };
        if sealing.is_tls13() {
            sealing.derive();
        }
        sealing
    }

    pub fn is_tls13(&self) -> bool {
        self.suite >> 8 == 0x13
    }

    /// What the server has of it before anything was said.
    pub fn server(&self) -> Exported {
        let direction = || Direction {
            seq: self.seq,
            key: Octets::new(&self.key),
            iv: Octets::new(&self.iv),
            secret: self.is_tls13().then(|| Octets::new(&self.secret)),
        };
        Exported {
            suite: self.suite,
            receives: direction(),
            sends: direction(),
            held: vec![],
            peer_closed: false,
            own_closed: false,
            owes_update: false,
            message_head: vec![],
            message_rest: 0,
            fruitless: 0,
            is_alpn: true,
            is_resumed: false,
        }
    }

    /// Appends a record of this kind. In TLS 1.3 there is so much padding in it.
    pub fn seal(&mut self, kind: u8, content: &[u8], padding: usize, out: &mut Vec<u8>) {
        let mut nonce = self.iv;
        nonce[4..].iter_mut().zip(self.seq.to_be_bytes()).for_each(|(octet, seq)| *octet ^= seq);
        let mut body = content.to_vec();
        let carried = if self.is_tls13() || self.suite == 0xcca9 { 0 } else { 8 };
        let header = |kind: u8, length: usize| [kind, 3, 3, (length >> 8) as u8, length as u8];
        let (head, aad) = if self.is_tls13() {
            body.push(kind);
            body.resize(body.len() + padding, 0);
            let head = header(APPLICATION_DATA, body.len() + 16);
            (head, head.to_vec())
        } else {
            let aad = [&self.seq.to_be_bytes()[..], &header(kind, body.len())].concat();
            (header(kind, carried + body.len() + 16), aad)
        };
        let key = LessSafeKey::new(UnboundKey::new(self.aead, &self.key).expect("of its length"));
        let number = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(number, Aad::from(aad), &mut body).expect("short enough");
        out.extend([&head[..], &nonce[12 - carried..], &body].concat());
        self.seq += 1;
    }

    /// What of such a record is text. TLS 1.3 takes the last octet that is not zero for the kind.
    pub fn text_of<'a>(&self, kind: u8, content: &'a [u8]) -> &'a [u8] {
        let (kind, content) = match content.iter().rposition(|octet| *octet != 0) {
            Some(end) if kind == 0 && self.is_tls13() => (content[end], &content[..end]),
            _ => (kind, content),
        };
        if kind == APPLICATION_DATA { content } else { &[] }
    }

    /// Goes on with other keys, as the other side does with what it receives. TLS 1.2 has no others.
    pub fn change_keys(&mut self) {
        if !self.is_tls13() {
            return;
        }
        self.secret = self.expand(b"traffic upd", self.secret.len());
        self.derive();
        self.seq = 0;
    }

    fn derive(&mut self) {
        self.key = self.expand(b"key", self.aead.key_len());
        self.iv = self.expand(b"iv", 12).try_into().expect("of that length");
    }

    fn expand(&self, label: &[u8], bytes: usize) -> Vec<u8> {
        struct Bytes(usize);
        impl KeyType for Bytes {
            fn len(&self) -> usize {
                self.0
            }
        }
        let hash = if self.secret.len() == 48 { hkdf::HKDF_SHA384 } else { hkdf::HKDF_SHA256 };
        let lengths = [0, bytes as u8, 6 + label.len() as u8];
        let mut derived = vec![0; bytes];
        Prk::new_less_safe(hash, &self.secret)
            .expand(&[&lengths, b"tls13 ", label, &[0]], Bytes(bytes))
            .and_then(|derivation| derivation.fill(&mut derived))
            .expect("short enough");
        derived
    }
}
