//! All that one run has measured, and where it is left: as JSON for programs, as a page for people.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::batch::Batch;
use super::common::goal::Goal;
use super::encodings::Encoded;
use super::idling::Idle;
use super::page;
use super::rung::Rung;

/// One run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub date: String,
    pub machine: String,
    pub is_quick: bool,
    /// What was left out, and what to know about the figures.
    pub notes: Vec<String>,
    pub rungs: Vec<Rung>,
    pub batch: Batch,
    pub pinged: Pinged,
    pub binary_bytes: u64,
    pub goals: Vec<Goal>,
}

/// An idle server whose clients are pinged as often as they are by default.
#[derive(Debug, Serialize)]
pub struct Pinged {
    pub clients: usize,
    pub idle: Idle,
}

impl Report {
    /// Writes both into `target/scaling`, and says where.
    pub fn write(&self) -> io::Result<[PathBuf; 2]> {
        let folder = folder()?;
        fs::create_dir_all(&folder)?;
        let (json, html) = (folder.join("report.json"), folder.join("report.html"));
        fs::write(&json, serde_json::to_string_pretty(self)? + "\n")?;
        fs::write(&html, page::of(self))?;
        Ok([json, html])
    }
}

/// Writes what was measured of encodings beside it, and says where.
pub fn write_encodings(all: &[Encoded]) -> io::Result<PathBuf> {
    write_json("encodings.json", all)
}

/// Writes what was measured of TLS beside it, and says where.
#[cfg(feature = "tls")]
pub fn write_tls(report: &super::tls::Report) -> io::Result<PathBuf> {
    write_json("tls.json", report)
}

fn write_json(name: &str, measured: &(impl Serialize + ?Sized)) -> io::Result<PathBuf> {
    let folder = folder()?;
    fs::create_dir_all(&folder)?;
    let json = folder.join(name);
    fs::write(&json, serde_json::to_string_pretty(measured)? + "\n")?;
    Ok(json)
}

/// Beside the profile's folder that this program is in: `target/release/deps/scaling-…`.
fn folder() -> io::Result<PathBuf> {
    let bench = std::env::current_exe()?;
    let target = bench.ancestors().nth(3).ok_or(io::ErrorKind::NotFound)?;
    Ok(target.join("scaling"))
}
