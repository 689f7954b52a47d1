//! `slackwater token`: makes a token and prints it. Nothing is printed that a server with the same configuration would refuse.

use std::env;
use std::process::ExitCode;

use jiff::Timestamp;

use super::{BAD_USAGE, FAILED, fail, print, tell};
use crate::config::listed::Listed;
use crate::config::token::TokenRequest;
use crate::http::keys::VerifyingKeys;
use crate::http::minting::{Grant, SigningKey, mint};
use crate::http::token::{Fault, Verifier};
use crate::policy::topic::Filter;
use crate::process::remarks::{self, Remark};
use crate::process::secrets;
use crate::server::clock::Now;
use crate::server::key_file::KeyFile;

/// Why there is no token: the exit code and what to say.
type Refusal = (u8, String);

/// Prints a token. Exit codes: 0, 2 for what cannot be asked for, 3 when a file cannot be read or nobody takes the token.
pub fn run(request: TokenRequest) -> ExitCode {
    let sources = request.sources.clone();
    match make(request) {
        Err((code, why)) => fail(code, sources.locate(&why)),
        Ok((token, remarks)) => {
            remarks.into_iter().for_each(|remark| tell(remark.located(&sources)));
            match print(&format!("{token}\n")) {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => fail(FAILED, format_args!("cannot print the token: {why}")),
            }
        }
    }
}

/// The token, and what is to be said about it.
fn make(mut request: TokenRequest) -> Result<(String, Vec<Remark>), Refusal> {
    let grant = grant(&request)?;
    let failed = |why: &dyn std::error::Error| (FAILED, why.to_string());
    secrets::read_auth_secret(&mut request.auth).map_err(|why| failed(&why))?;
    let (key, kept) = signing_key(&request)?;
    let opened = KeyFile::open(&request.auth, Now::read().instant).map_err(|why| failed(&why))?;
    let keys = opened.map(|(keys, _)| keys).or_else(|| key.verifying_keys());
    let now = Timestamp::now();
    let token = mint(&grant, &key, now).map_err(|why| failed(&why))?;
    let has_key_file = request.auth.auth_key_file.is_some();
    verify(&token, keys.expect("what signs can be verified"), &grant, now, has_key_file)?;
    let mut remarks = remarks::of_variables(env::vars_os().map(|(name, _)| name));
    remarks.extend(secrets::of_file(&request.file));
    remarks.extend(kept);
    remarks.extend(secrets::of_auth(&request.auth));
    remarks.extend(doubts(&grant));
    Ok((token, remarks))
}

fn grant(request: &TokenRequest) -> Result<Grant, Refusal> {
    Ok(Grant {
        subject: request.sub.clone(),
        subscribe: filters("--subscribe", &Listed::all(&request.subscribe))?,
        publish: filters("--publish", &Listed::all(&request.publish))?,
        audience: request.auth.auth_audience.clone(),
        issuer: request.auth.auth_issuer.clone(),
        lifetime: request.expires.0,
    })
}

fn filters(flag: &str, patterns: &[String]) -> Result<Vec<Filter>, Refusal> {
    let parse = |pattern: &String| {
        Filter::parse(pattern).map_err(|why| {
            let form = "its last segment may be *, which stands for all below";
            (BAD_USAGE, format!("invalid value '{pattern}' for '{flag} <TOPIC>': {why}; {form}"))
        })
    };
    patterns.iter().map(parse).collect()
}

/// What is signed by, and how badly it is kept.
fn signing_key(request: &TokenRequest) -> Result<(SigningKey, Vec<Remark>), Refusal> {
    if let Some(path) = &request.signing_key_file {
        let key = secrets::read_signing_key(path).map_err(|why| (FAILED, why.to_string()))?;
        let kept = secrets::of_readers("key", path).into_iter().collect();
        return Ok((key.named(request.key_id.clone()), kept));
    }
    let secret = request.auth.auth_secret.as_ref().expect("the command line has been checked for it");
    Ok((SigningKey::of_secret(secret.reveal().as_bytes()), vec![]))
}

/// Whether the server would accept it.
fn verify(
    token: &str,
    keys: VerifyingKeys,
    grant: &Grant,
    now: Timestamp,
    has_key_file: bool,
) -> Result<(), Refusal> {
    let verifier = Verifier::new(keys, grant.audience.clone(), grant.issuer.clone());
    let Err(fault) = verifier.verify(token.as_bytes(), now) else { return Ok(()) };
    let mend = match fault {
        Fault::Key => "; name one of the keys in --auth-key-file with --key-id",
        Fault::Signature | Fault::Algorithm if has_key_file => {
            "; give the private key that belongs to the one in --auth-key-file, and name that with --key-id if it is in a JWKS"
        }
        _ => "",
    };
    Err((BAD_USAGE, format!("a server would refuse this: {fault}{mend}")))
}

/// What its owner may not have meant.
fn doubts(grant: &Grant) -> Vec<Remark> {
    let mut doubts = vec![];
    if grant.lifetime.is_none() {
        doubts.push(Remark::Danger(
            "This token never expires: whoever gets hold of it has what it grants until the server is given another secret or key"
                .to_owned(),
        ));
    }
    if grant.subscribe.is_empty() && grant.publish.is_empty() {
        doubts.push(Remark::Danger(
            "This token grants nothing: name topics with --subscribe or --publish".to_owned(),
        ));
    }
    doubts
}
