//! Watches that a process asks for one turn after another only while it gets something done.

/// A pass over what has piled up may find nothing that can be sent for so many turns.
const IDLE_TURNS: usize = 10;

/// The turns of one process.
#[derive(Debug, Default)]
pub struct Spin {
    deeds: usize,
    idle_turns: usize,
}

impl Spin {
    /// It has taken a turn, and has received and sent so often in all its turns.
    pub fn on_turn(&mut self, deeds: usize, wants_another: bool) {
        let is_idle = std::mem::replace(&mut self.deeds, deeds) == deeds && wants_another;
        self.idle_turns = if is_idle { self.idle_turns + 1 } else { 0 };
        assert!(self.idle_turns <= IDLE_TURNS, "it neither receives nor sends, and never sleeps");
    }
}
