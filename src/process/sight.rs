//! What a supervisor sees of a worker's process. Judges nothing.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use crate::policy::roster::{Doing, Exit, Sight};
use crate::proc_stat::{ProcStat, TICKS_PER_SECOND};

/// What a process does; none if that cannot be seen.
pub fn of(pid: u32) -> Option<Sight> {
    ProcStat::read(pid).map(sight)
}

/// How it has ended.
pub fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, number) => Exit::Signal(number.unwrap_or_default()),
    }
}

fn sight(stat: ProcStat) -> Sight {
    Sight {
        doing: match stat.state {
            'R' => Doing::Runnable,
            'D' => Doing::Blocked,
            'T' | 't' => Doing::Stopped,
            _ => Doing::Sleeping,
        },
        worked: Duration::from_secs(stat.ticks) / TICKS_PER_SECOND,
        // A tick is long: a process that only wakes and sleeps on is not seen to work, but to switch.
        stirred: stat.faults + stat.switches,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_does_is_told_by_the_letter_of_its_state() {
        for (state, doing) in
            [('R', Doing::Runnable), ('S', Doing::Sleeping), ('D', Doing::Blocked), ('t', Doing::Stopped)]
        {
            let stat = ProcStat { state, ticks: 250, faults: 30, switches: 4, ..ProcStat::default() };
            assert_eq!(sight(stat), Sight { doing, worked: Duration::from_millis(2500), stirred: 34 });
        }
    }
}
