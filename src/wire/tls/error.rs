//! Why a TLS connection is over, in words for a log: none of what a peer has sent, and nothing of a certificate.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
use thiserror::Error as Described;

/// Why nothing more is read from a connection or written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Described)]
pub enum TlsError {
    /// A client speaks HTTP without TLS. It is sent nothing, so that it can be answered in its own language.
    #[error("plain HTTP where TLS is spoken")]
    PlainHttp,
    /// Whatever the peer speaks, it is not TLS.
    #[error("something that is not TLS")]
    NotTls,
    /// The peer has ended the connection, for this reason.
    #[error("the peer says: {}", words(*.0))]
    PeerSays(AlertDescription),
    /// The two do not speak the same, for this reason.
    #[error("nothing in common with the peer: {0}")]
    Incompatible(&'static str),
    /// Something was changed on its way, or encrypted with other keys.
    #[error("a record that cannot be decrypted")]
    NotDecryptable,
    /// A record or a message that is none, or nothing that may come now.
    #[error("a violation of TLS: {0}")]
    Violation(&'static str),
    /// More than this limit would have had to be kept to understand one message.
    #[error("a message of more than {0} bytes")]
    TooLong(usize),
    /// The server is not who it should be, or cannot show it, for this reason.
    #[error("the peer's certificate is {0}")]
    Certificate(&'static str),
    /// The keys must not be used for any more records, and TLS 1.2 cannot change them.
    #[error("the keys are used up")]
    KeysUsedUp,
    /// The peer's side of the stream has ended without a word: there may have been more.
    #[error("the stream ended without a closure alert")]
    Truncated,
    /// Our side is closed: nothing more can be sent.
    #[error("closed by this side")]
    Closed,
    /// This process is at fault: its configuration, its randomness or its clock.
    #[error("TLS does not work here: {0}")]
    Internal(&'static str),
}

impl TlsError {
    /// What the peer is told of it during the handshake, where rustls itself says nothing.
    pub(super) fn alert(&self) -> Option<AlertDescription> {
        match self {
            Self::TooLong(_) => Some(AlertDescription::IllegalParameter),
            Self::Violation(_) => Some(AlertDescription::UnexpectedMessage),
            _ => None,
        }
    }

    /// What is meant by an error of rustls.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            Error::InvalidMessage(InvalidMessage::MessageTooLarge) | Error::PeerSentOversizedRecord => {
                Self::Violation("a record is too long")
            }
            Error::InvalidMessage(_) => Self::Violation("a malformed message"),
            Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
                Self::Violation("a message that may not come now")
            }
            Error::PeerMisbehaved(_) | Error::NoCertificatesPresented => {
                Self::Violation("a message that contradicts what was agreed on")
            }
            Error::DecryptError => Self::NotDecryptable,
            Error::AlertReceived(alert) => Self::PeerSays(*alert),
            Error::PeerIncompatible(why) => Self::Incompatible(missing(why)),
            Error::NoApplicationProtocol => Self::Incompatible("no application protocol"),
            Error::InvalidCertificate(why) => Self::Certificate(flaw(why)),
            Error::EncryptError => Self::KeysUsedUp,
            Error::FailedToGetRandomBytes => Self::Internal("no random numbers"),
            Error::FailedToGetCurrentTime => Self::Internal("no time of day"),
            _ => Self::Internal("its configuration is contradictory"),
        }
    }
}

fn missing(why: &PeerIncompatible) -> &'static str {
    match why {
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher suite",
        PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::KeyShareExtensionRequired
        | PeerIncompatible::NoEcPointFormatsInCommon
        | PeerIncompatible::EcPointsExtensionRequired
        | PeerIncompatible::UncompressedEcPointsRequired => "no key exchange",
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired => "no signature for our certificate",
        PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => "no version",
        _ => "a feature is missing",
    }
}

fn flaw(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not valid yet",
        CertificateError::Revoked => "revoked",
        CertificateError::UnknownIssuer => "of an unknown issuer",
        CertificateError::BadSignature => "signed by another key than its issuer's",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "for another name"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "for another purpose"
        }
        // What those have who made it themselves. rustls has no words of its own for it, but webpki's.
        CertificateError::Other(why) => match &*why.0.to_string() {
            "CaUsedAsEndEntity" => "that of an authority, and none of a server's own",
            "UnsupportedCertVersion" => "of an older version of X.509 than 3",
            _ => "not valid",
        },
        _ => "not valid",
    }
}

fn words(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnexpectedMessage => "unexpected message",
        AlertDescription::BadRecordMac => "a record could not be decrypted",
        AlertDescription::RecordOverflow => "a record is too long",
        AlertDescription::HandshakeFailure => "nothing in common",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "the certificate is revoked",
        AlertDescription::CertificateExpired => "the certificate is expired",
        AlertDescription::CertificateUnknown => "the certificate is not acceptable",
        AlertDescription::UnknownCA => "the certificate is of an unknown issuer",
        AlertDescription::IllegalParameter => "illegal parameter",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::DecodeError => "a malformed message",
        AlertDescription::DecryptError => "a signature or a checksum is wrong",
        AlertDescription::ProtocolVersion => "no version in common",
        AlertDescription::InsufficientSecurity => "not secure enough",
        AlertDescription::InternalError => "internal error",
        AlertDescription::UserCanceled => "canceled",
        AlertDescription::UnrecognisedName => "unknown server name",
        AlertDescription::CertificateRequired => "a client's certificate is required",
        AlertDescription::NoApplicationProtocol => "no application protocol in common",
        _ => "another alert",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_is_said_in_words_and_without_what_a_peer_has_sent() {
        let name = CertificateError::NotValidForNameContext {
            expected: "redis.example".try_into().unwrap(),
            presented: vec!["secret.example".to_owned()],
        };
        let said = |error: Error| TlsError::of(&error).to_string();
        assert_eq!(said(Error::InvalidCertificate(name)), "the peer's certificate is for another name");
        assert_eq!(
            said(Error::AlertReceived(AlertDescription::UnknownCA)),
            "the peer says: the certificate is of an unknown issuer"
        );
        assert_eq!(
            said(PeerIncompatible::Tls12NotOfferedOrEnabled.into()),
            "nothing in common with the peer: no version"
        );
        assert_eq!(
            said(Error::General("x".to_owned())),
            "TLS does not work here: its configuration is contradictory"
        );
    }
}
