//! When a server that is told to leave parks its connections: leaves them, open, with the service manager until its next start,
//! and ends. What that takes is not known here; if it cannot be done, the server drains.

use std::time::{Duration, Instant};

use crate::policy::handover::WINDING_UP;

/// How long those have to leave who could not be parked: everybody else waits for the next start meanwhile.
pub const LEFT_BEHIND: Duration = Duration::from_secs(2);

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Parking {
    /// Nobody has asked for it.
    #[default]
    Serving,
    /// Told to leave; serves on until nobody is in the midst of a request, or until then.
    WindingUp(Instant),
    /// Told so once more.
    Insisted,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Park; if that cannot be done, drain.
    Park,
    /// Drain, as one that has been told to leave twice.
    Insist,
}

impl Parking {
    /// It is told to leave: that begins it, and once more ends it.
    pub fn signal(&mut self, now: Instant) {
        *self = match self {
            Self::Serving => Self::WindingUp(now + WINDING_UP),
            Self::WindingUp(_) | Self::Insisted => Self::Insisted,
        }
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self != Self::Serving
    }

    /// What to do next, after which it is over; `None` until something happens. `is_leaving`: whether it was told to leave in
    /// another way, too. `is_asked`: whether somebody is in the midst of a request.
    pub fn poll(&mut self, now: Instant, is_leaving: bool, is_asked: impl FnOnce() -> bool) -> Option<Step> {
        let step = match *self {
            Self::Serving => return None,
            Self::WindingUp(_) if is_leaving => Step::Insist,
            Self::Insisted => Step::Insist,
            Self::WindingUp(until) if now >= until || !is_asked() => Step::Park,
            Self::WindingUp(_) => return None,
        };
        *self = Self::Serving;
        Some(step)
    }

    /// When there is something to do though nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::WindingUp(until) => Some(*until),
            Self::Serving | Self::Insisted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IS_ASKED: fn() -> bool = || true;
    const IS_FREE: fn() -> bool = || false;

    fn begun() -> (Parking, Instant) {
        let (mut parking, now) = (Parking::default(), Instant::now());
        assert_eq!(parking.poll(now, false, IS_FREE), None);
        parking.signal(now);
        assert!(parking.has_begun());
        (parking, now)
    }

    #[test]
    fn it_is_time_once_nobody_is_in_the_midst_of_a_request() {
        let (mut parking, now) = begun();
        assert_eq!(parking.poll(now, false, IS_ASKED), None);
        assert_eq!(parking.poll(now, false, IS_FREE), Some(Step::Park));
        assert_eq!(parking.poll(now, false, IS_FREE), None);
        assert!(!parking.has_begun() && parking.deadline().is_none());
    }

    #[test]
    fn a_request_under_way_is_waited_for_no_longer_than_a_second() {
        let (mut parking, now) = begun();
        assert_eq!(parking.deadline(), Some(now + WINDING_UP));
        assert_eq!(parking.poll(now + WINDING_UP - Duration::from_millis(1), false, IS_ASKED), None);
        assert_eq!(parking.poll(now + WINDING_UP, false, IS_ASKED), Some(Step::Park));
    }

    #[test]
    fn a_second_signal_and_another_way_to_leave_mean_what_they_mean_in_a_drain() {
        let (mut parking, now) = begun();
        parking.signal(now);
        assert_eq!(parking.poll(now, false, IS_FREE), Some(Step::Insist));
        let (mut parking, now) = begun();
        assert_eq!(parking.poll(now, true, IS_FREE), Some(Step::Insist));
        assert_eq!(parking, Parking::Serving);
    }
}
