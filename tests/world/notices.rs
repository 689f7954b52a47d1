//! What clients are told of their moves, judged: each at a moment of its own, within the spread, and with the true end.

use std::time::Duration;

use slackwater::server::terms::Terms;

use crate::ear::Notice;
use crate::world::BEGINNING;

/// What times lose that are said in whole milliseconds: a part of each of two.
const CUT: Duration = Duration::from_millis(2);

/// The moment of which a client was told at this time: within the spread, and with the true end of the server's patience.
pub fn read_notice(notice: &Notice, leaving: Option<(Duration, Duration)>, terms: &Terms) -> Duration {
    let (begun, limit) = leaving.expect("only a server that leaves restarts");
    let (said_at, moment, deadline) = times(notice);
    let deadline = deadline.expect("a leaving ends");
    let spread = terms.reconnect.expect("it may be said").spread;
    assert!(moment + CUT >= begun && moment <= limit.min(begun + spread).max(said_at), "{moment:?}");
    assert!((deadline..=deadline + CUT).contains(&limit), "until {deadline:?}, not {limit:?}");
    moment
}

/// The same for a client whose connection is old, which it has become between these two times: within a tenth of what is
/// set, and with the true end, if there is one.
pub fn read_notice_of_age(
    notice: &Notice,
    (connected, welcomed): (Duration, Duration),
    terms: &Terms,
) -> Duration {
    let (said_at, moment, deadline) = times(notice);
    let age = terms.reconnect.and_then(|terms| terms.max_age).expect("it may be said");
    let (earliest, latest) = (connected + age * 9 / 10, welcomed + age * 11 / 10);
    assert!(
        moment + CUT >= earliest && moment <= latest.max(said_at),
        "{moment:?}: {earliest:?}, {latest:?}"
    );
    let expected = close_after(terms).map(|after| moment + after);
    let is_true = |(deadline, end): (Duration, Duration)| deadline.abs_diff(end) <= CUT;
    assert!(deadline.zip(expected).is_none_or(is_true), "until {deadline:?}, not {expected:?}");
    assert_eq!(deadline.is_some(), expected.is_some());
    moment
}

/// When it was said, and what it says.
fn times(notice: &Notice) -> (Duration, Duration, Option<Duration>) {
    let said_at = Duration::try_from(notice.said_at.duration_since(BEGINNING)).expect("time goes on");
    (said_at, said_at + notice.after, notice.deadline.map(|deadline| said_at + deadline))
}

/// How long after its moment a client is closed, if it ever is.
pub fn close_after(terms: &Terms) -> Option<Duration> {
    terms.reconnect?.close_after
}
