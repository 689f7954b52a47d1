//! Writes what a package has beside the program: the pages of the manual, and by what bash, zsh and fish complete.
//! `cargo run --example documents -- FOLDER` writes them to `man`, `bash`, `zsh` and `fish` in there. Reads no variable.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;

use clap_complete::Shell;
use clap_mangen::Man;
use slackwater::config::command::documented;

const NAME: &str = "slackwater";

/// What no command line knows of itself, behind its flags.
const MORE: &str = include_str!("../packaging/slackwater.1.roff");

const CHANGES: &str = include_str!("../CHANGELOG.md");

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("name the folder to write to")?;
    let folder = Path::new(&folder);
    let [man, bash, zsh, fish] = ["man", "bash", "zsh", "fish"].map(|name| folder.join(name));
    for place in [&man, &bash, &zsh, &fish] {
        fs::create_dir_all(place)?;
    }
    let whole = documented();
    fs::write(man.join("slackwater.1"), page(whole.clone(), Some(MORE))?)?;
    for part in whole.get_subcommands().filter(|part| part.get_name() != "serve") {
        let name = format!("{NAME}-{}", part.get_name());
        let part = part.clone().display_name(name.clone()).bin_name(name.replacen('-', " ", 1));
        fs::write(man.join(format!("{name}.1")), page(part, None)?)?;
    }
    for (shell, place) in [(Shell::Bash, &bash), (Shell::Zsh, &zsh), (Shell::Fish, &fish)] {
        clap_complete::generate_to(shell, &mut whole.clone(), NAME, place)?;
    }
    Ok(())
}

/// One page, dated as the newest version is, so that the same sources make the same page.
fn page(command: clap::Command, more: Option<&str>) -> Result<Vec<u8>, Box<dyn Error>> {
    let name = command.get_display_name().unwrap_or(NAME).to_owned();
    let source = concat!("slackwater ", env!("CARGO_PKG_VERSION"));
    let parts: Vec<_> =
        command.get_subcommands().filter(|part| part.get_name() != "serve").cloned().collect();
    let given: String = command
        .get_positionals()
        .map(|arg| format!("[\\fI{}\\fR]\n", arg.get_id().as_str().to_uppercase()))
        .collect();
    let man = Man::new(command).manual("Slackwater").source(source).date(date());
    let mut page = vec![];
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let called = name.replacen('-', " ", 1);
    write!(page, ".SH SYNOPSIS\n.B {called}\n[\\fIOPTIONS\\fR]\n{given}")?;
    if !parts.is_empty() {
        write!(page, ".br\n.B {called}\n\\fISUB-COMMAND\\fR [\\fIOPTIONS\\fR]\n")?;
    }
    man.render_description_section(&mut page)?;
    if !parts.is_empty() {
        writeln!(page, ".SH SUB-COMMANDS")?;
    }
    for part in parts {
        let does = part.get_about().map(ToString::to_string).unwrap_or_default();
        write!(page, ".TP\n.BR {NAME}\\-{} (1)\n{does}\n", part.get_name())?;
    }
    man.render_options_section(&mut page)?;
    page.extend_from_slice(more.unwrap_or(".SH \"SEE ALSO\"\n.BR slackwater (1)\n").as_bytes());
    Ok(page)
}

/// Of the newest version, as `## [0.1.0] - 2026-11-27` says it.
fn date() -> &'static str {
    let newest = CHANGES.lines().find_map(|line| line.strip_prefix("## [")?.split_once("] - "));
    newest.map_or("", |(_, date)| date)
}
