//! Writes what a package has beside the program: the pages of the manual, and by what bash, zsh and fish complete.
//! `cargo run --example documents -- FOLDER` writes them to `man`, `bash`, `zsh` and `fish` in there. Reads no variable.

use std::error::Error;
use std::fs;
use std::path::Path;

use clap_complete::Shell;
use clap_mangen::Man;
use slackwater::config::command::documented;

const NAME: &str = "slackwater";

/// What no command line knows of itself, behind its flags.
const MORE: &str = include_str!("../packaging/slackwater.1.roff");

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

/// One page, undated so that the same sources make the same page.
fn page(command: clap::Command, more: Option<&str>) -> Result<Vec<u8>, Box<dyn Error>> {
    let man =
        Man::new(command).manual("Slackwater").source(concat!("slackwater ", env!("CARGO_PKG_VERSION")));
    let mut page = vec![];
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if more.is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    man.render_options_section(&mut page)?;
    page.extend_from_slice(more.unwrap_or(".SH \"SEE ALSO\"\n.BR slackwater (1)\n").as_bytes());
    Ok(page)
}
