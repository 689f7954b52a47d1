//! How far a drain has come, for a person at a terminal: one line with a bar, below the log.

use std::time::Duration;

use crate::process::logging;

const BAR_WIDTH: usize = 30;

/// The line, and the clients that there were when it was first shown.
#[derive(Debug, Default)]
pub struct ProgressBar {
    clients_then: usize,
}

impl ProgressBar {
    /// So many clients are left, for so long at most.
    pub fn show(&mut self, clients: usize, remaining: Duration) {
        self.clients_then = self.clients_then.max(clients);
        logging::show_status(&line(clients, self.clients_then, remaining));
    }

    /// There is nothing more to show.
    pub fn hide(&mut self) {
        logging::show_status("");
    }
}

fn line(clients: usize, clients_then: usize, remaining: Duration) -> String {
    let left = clients_then - clients;
    let filled = (left * BAR_WIDTH).checked_div(clients_then).unwrap_or(BAR_WIDTH);
    let bar = "#".repeat(filled) + &"-".repeat(BAR_WIDTH - filled);
    let seconds = remaining.as_secs();
    format!("[{bar}] {left} of {clients_then} have left, {}:{:02} to go", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_as_clients_leave() {
        let line = |clients| line(clients, 200, Duration::from_secs(1795));
        assert_eq!(line(200), "[------------------------------] 0 of 200 have left, 29:55 to go");
        assert_eq!(line(100), "[###############---------------] 100 of 200 have left, 29:55 to go");
        assert_eq!(line(0), "[##############################] 200 of 200 have left, 29:55 to go");
    }
}
