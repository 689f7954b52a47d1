//! Of those who are in the midst of much, as many move as there is room for.

use support::frames;

use super::house::House;
use super::{listen, publish};

#[test]
fn of_those_who_are_in_the_midst_of_much_as_many_move_as_there_is_room_for_and_all_others_do() {
    let mut house = House::with("");
    let half = |house: &mut House, bytes: usize| {
        let who = listen(house, "topic=a");
        let whole = frames::text(&"x".repeat(bytes));
        let (last, rest) = whole.split_last().unwrap();
        house.say(who, rest);
        (who, *last)
    };
    let idle = listen(&mut house, "topic=a");
    let halves = [50_000, 4000, 50_000, 50_000, 30_000, 100].map(|bytes| half(&mut house, bytes));
    let late = listen(&mut house, "topic=a");
    assert_eq!(house.hand_over_within(120_000), 2);
    let moves = [true, true, true, false, false, true];
    for ((who, last), moves) in halves.into_iter().zip(moves) {
        if moves {
            house.say(who, [&[last], &frames::text("again")[..]].concat());
        }
        assert_eq!(house.told(who).contains("Server received: again"), moves, "{who}");
    }
    publish(&mut house, "a", "to all");
    assert!([idle, late].iter().all(|who| house.told(*who).contains("to all")));
}

#[test]
fn what_many_have_not_taken_of_the_same_counts_once_for_all() {
    let mut house = House::with("--outbox-limit 10000000");
    let stalled: Vec<usize> = (0..20).map(|_| listen(&mut house, "topic=a")).collect();
    stalled.iter().for_each(|who| house.take(*who, 0));
    publish(&mut house, "a", &"x".repeat(50_000));
    assert_eq!(house.hand_over_within(10_000), 0);
}
