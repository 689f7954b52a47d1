//! A supervisor hands over in virtual time, and each who takes part fails at each moment.

use super::*;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A supervisor of workers 1 and 2, and the time.
struct Story {
    crew: CrewPredecessor,
    now: Instant,
}

impl Story {
    fn begin() -> Self {
        let now = Instant::now();
        Self { crew: CrewPredecessor::new(Predecessor::new([1, 1], 10, now + TIMEOUT), [1, 2]), now }
    }

    fn steps(&mut self) -> Vec<CrewStep> {
        std::iter::from_fn(|| self.crew.poll(self.now)).collect()
    }

    fn heard(&mut self, heard: Heard) -> Vec<CrewStep> {
        self.crew.on_heard(heard, self.now);
        self.steps()
    }

    fn both_say(&mut self, said: &Said) -> Vec<CrewStep> {
        self.crew.on_said(1, said.clone());
        assert_eq!(self.steps(), [], "before both have said it");
        self.crew.on_said(2, said.clone());
        self.steps()
    }

    fn after(&mut self, duration: Duration) -> Vec<CrewStep> {
        self.now += duration;
        self.steps()
    }

    fn until_ready(mut self) -> Self {
        assert_eq!(self.heard(hello()), [CrewStep::Offer { format: 1 }]);
        assert_eq!(self.heard(Heard::Ready), [CrewStep::WindUp]);
        self
    }

    fn until_moving(self) -> Self {
        let mut story = self.until_ready();
        assert_eq!(story.both_say(&Said::WoundUp), [CrewStep::Hold]);
        assert_eq!(story.both_say(&Said::Held), [CrewStep::Move]);
        story.crew.moving();
        story
    }
}

fn hello() -> Heard {
    Heard::Hello { oldest: 1, newest: 1, most_descriptors: 10 }
}

const MOVED: Said = Said::Moved { moved: 3, stayed: 1 };

#[test]
fn all_workers_wind_up_hold_and_move_together() {
    let mut story = Story::begin().until_moving();
    assert_eq!(story.both_say(&MOVED), []);
    assert_eq!(story.heard(Heard::Prepared), [CrewStep::Commit]);
    assert_eq!(story.crew.counted(), (6, 2));
    assert_eq!(story.after(TIMEOUT), []);
}

#[test]
fn it_commits_only_once_all_workers_have_moved_whoever_says_so_last() {
    let mut story = Story::begin().until_moving();
    story.crew.on_said(1, MOVED);
    assert_eq!(story.heard(Heard::Prepared), []);
    story.crew.on_said(2, MOVED);
    assert_eq!(story.steps(), [CrewStep::Commit]);
}

#[test]
fn requests_that_take_long_are_waited_for_while_all_serve_and_answers_only_for_a_moment() {
    let mut story = Story::begin().until_ready();
    assert_eq!(story.crew.next_deadline(), story.now + WINDING_UP);
    assert_eq!(story.after(WINDING_UP - Duration::from_nanos(1)), []);
    assert!(!story.crew.is_held());
    assert_eq!(story.after(Duration::from_nanos(1)), [CrewStep::Hold]);
    assert!(story.crew.is_held());
    assert_eq!(story.crew.next_deadline(), story.now + HOLDING);
    // One that was on its way is too late to matter.
    story.crew.on_said(1, Said::WoundUp);
    assert_eq!(story.after(HOLDING), [CrewStep::Move]);
    story.crew.on_said(1, Said::Held);
    assert_eq!(story.steps(), []);
}

/// Each moment of a hand-over at which it can fail, by its name.
fn moments() -> Vec<(&'static str, Story)> {
    let mut offered = Story::begin();
    assert_eq!(offered.heard(hello()), [CrewStep::Offer { format: 1 }]);
    let mut holding = Story::begin().until_ready();
    assert_eq!(holding.both_say(&Said::WoundUp), [CrewStep::Hold]);
    let mut one_has_moved = Story::begin().until_moving();
    one_has_moved.crew.on_said(1, MOVED);
    let mut prepared = Story::begin().until_moving();
    assert_eq!(prepared.heard(Heard::Prepared), []);
    vec![
        ("begun", Story::begin()),
        ("offered", offered),
        ("winding up", Story::begin().until_ready()),
        ("holding", holding),
        ("moving", Story::begin().until_moving()),
        ("one has moved", one_has_moved),
        ("prepared", prepared),
    ]
}

#[test]
fn at_every_moment_a_worker_that_ends_lets_all_go_on() {
    for (moment, mut story) in moments() {
        story.crew.on_gone(3);
        assert_eq!(story.steps(), [], "{moment}: it is none of theirs");
        story.crew.on_gone(2);
        assert!(matches!(story.steps()[..], [CrewStep::GiveUp(Why::Own(_))]), "{moment}");
        assert_eq!(story.after(TIMEOUT), [], "{moment}");
    }
}

#[test]
fn at_every_moment_a_successor_that_ends_fails_or_is_silent_lets_all_go_on() {
    for (moment, mut story) in moments() {
        assert!(matches!(story.heard(Heard::Ended)[..], [CrewStep::GiveUp(Why::Ended(_))]), "{moment}");
    }
    for (moment, mut story) in moments() {
        let failed = Heard::Failed("no".to_owned());
        assert_eq!(story.heard(failed), [CrewStep::GiveUp(Why::Failed("no".to_owned()))], "{moment}");
    }
    for (moment, mut story) in moments() {
        let left = story.crew.own.deadline() - story.now;
        story.now += left;
        assert!(matches!(story.steps()[..], [CrewStep::GiveUp(Why::Silent(_))]), "{moment}");
    }
}

#[test]
fn a_worker_that_cannot_move_or_moves_unasked_lets_all_go_on() {
    let mut story = Story::begin().until_moving();
    story.crew.on_said(2, Said::NotMoved("no memory".to_owned()));
    assert_eq!(story.steps(), [CrewStep::GiveUp(Why::Own("no memory".to_owned()))]);
    for (moment, mut story) in moments().into_iter().take(4) {
        story.crew.on_said(1, MOVED);
        assert!(matches!(story.steps()[..], [CrewStep::GiveUp(Why::Own(_))]), "{moment}");
    }
    let mut story = Story::begin().until_moving();
    story.crew.on_said(1, MOVED);
    story.crew.on_said(1, MOVED);
    assert!(matches!(story.steps()[..], [CrewStep::GiveUp(Why::Own(_))]), "it has moved twice");
}

#[test]
fn what_is_left_for_a_later_start_is_left_without_a_worker_that_is_gone() {
    let now = Instant::now();
    let own = Predecessor::for_a_later_start(now, now + TIMEOUT);
    let crew = CrewPredecessor::new(own, [1, 2, 3]);
    let mut story = Story { crew, now };
    assert_eq!(story.steps(), [CrewStep::WindUp]);
    story.crew.do_without(1);
    [2, 3].into_iter().for_each(|worker| story.crew.on_said(worker, Said::WoundUp));
    assert_eq!(story.steps(), [CrewStep::Hold]);
    [2, 3].into_iter().for_each(|worker| story.crew.on_said(worker, Said::Held));
    assert_eq!(story.steps(), [CrewStep::Move]);
    story.crew.moving();
    story.crew.on_heard(Heard::Prepared, now);
    story.crew.on_said(2, Said::Moved { moved: 5, stayed: 1 });
    assert_eq!(story.steps(), []);
    // What it has left whole stays, and nobody waits for one that has not.
    story.crew.do_without(2);
    story.crew.do_without(3);
    story.crew.on_said(3, Said::Moved { moved: 7, stayed: 0 });
    assert_eq!((story.steps(), story.crew.counted()), (vec![CrewStep::Commit], (5, 1)));
}

#[test]
fn without_any_worker_that_serves_the_rest_is_handed_over() {
    let now = Instant::now();
    let crew = CrewPredecessor::new(Predecessor::new([1, 1], 10, now + TIMEOUT), []);
    let mut story = Story { crew, now };
    story.heard(hello());
    assert_eq!(story.heard(Heard::Ready), [CrewStep::WindUp, CrewStep::Hold, CrewStep::Move]);
    story.crew.moving();
    assert_eq!(story.heard(Heard::Prepared), [CrewStep::Commit]);
}

#[test]
fn why_it_fails_is_what_went_wrong_here_first_not_what_follows_from_it_at_the_successor() {
    for (is_told_to_leave, why) in
        [(false, "one of its workers has left or ended meanwhile"), (true, LEAVING)]
    {
        let mut story = Story::begin().until_moving();
        story.crew.on_heard(Heard::Failed("a worker's connections do not come".to_owned()), story.now);
        if is_told_to_leave {
            story.crew.on_leaving();
        } else {
            story.crew.on_gone(2);
        }
        assert_eq!(story.steps(), [CrewStep::GiveUp(Why::Own(why.to_owned()))]);
    }
}
