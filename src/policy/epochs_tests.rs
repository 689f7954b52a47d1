//! Facts about which id is where, told one by one and for whatever a line goes through.

use proptest::prelude::*;

use super::*;

fn id(epoch: u32, position: Position) -> PublicationId {
    PublicationId::new(epoch, position)
}

/// Epoch 1 up to position 10, of which epoch 2 follows 8; it has 4 publications, and epoch 5 follows them.
fn three() -> Epochs {
    let mut epochs = Epochs::of(1);
    assert_eq!(epochs.begin(2, id(1, 8), 10), Some(8));
    assert_eq!(epochs.begin(5, id(2, 4), 12), Some(12));
    epochs
}

#[test]
fn in_one_epoch_ids_have_the_positions_that_they_have_here() {
    let epochs = Epochs::of(7);
    assert_eq!((epochs.plain(), epochs.id(0), epochs.up_to(0)), (Some(7), None, Some(id(7, 0))));
    assert_eq!((epochs.id(42), epochs.up_to(42)), (Some(id(7, 42)), Some(id(7, 42))));
    let places = [id(7, 0), id(7, 42), id(7, 43), id(8, 0), id(6, 42)].map(|id| epochs.place(id, 42));
    assert_eq!(places, [Place::At(0), Place::At(42), Place::Ahead, Place::Ahead, Place::Lost]);
}

#[test]
fn an_epoch_goes_on_where_the_one_before_was_cut() {
    let epochs = three();
    let ids = [8, 9, 12, 13].map(|position| epochs.id(position));
    assert_eq!(ids, [id(1, 8), id(2, 1), id(2, 4), id(5, 1)].map(Some));
    let places = [id(1, 8), id(2, 0), id(2, 4), id(5, 0), id(5, 1), id(5, 2)].map(|id| epochs.place(id, 13));
    assert_eq!(places, [8, 8, 12, 12, 13, 0].map(|at| if at > 0 { Place::At(at) } else { Place::Ahead }));
    assert_eq!((epochs.plain(), epochs.epoch(), epochs.known_after()), (None, 5, 0));
}

#[test]
fn what_was_cut_off_and_what_nobody_knows_is_lost() {
    let lost = [id(1, 9), id(1, 10), id(2, 5), id(3, 0), id(4, 1), id(0, 1), id(1, u64::MAX)];
    assert_eq!(lost.map(|id| three().place(id, 13)), [Place::Lost; 7]);
    assert_eq!(three().place(id(5, u64::MAX), 13), Place::Ahead);
    assert_eq!(Epochs::new(id(7, 5), 20).place(id(7, 4), 30), Place::Lost);
}

#[test]
fn where_an_epoch_has_just_begun_it_names_all_before_it_and_those_without_publications_are_kept() {
    let mut epochs = three();
    assert_eq!(epochs.up_to(12), Some(id(5, 0)));
    assert_eq!(epochs.begin(6, id(5, 0), 12), Some(12));
    assert_eq!(epochs.begin(9, id(2, 4), 12), Some(12));
    assert_eq!([id(2, 4), id(5, 0), id(6, 0), id(9, 0)].map(|id| epochs.place(id, 12)), [Place::At(12); 4]);
    assert_eq!(
        (epochs.up_to(12), epochs.id(12), epochs.id(13)),
        (Some(id(9, 0)), Some(id(2, 4)), Some(id(9, 1)))
    );
}

#[test]
fn an_epoch_begins_neither_behind_what_is_unknown_nor_before_the_present_one() {
    for (epoch, after) in [(6, id(5, 2)), (6, id(1, 9)), (6, id(3, 0)), (5, id(5, 1)), (4, id(5, 1))] {
        let mut epochs = three();
        assert_eq!((epochs.begin(epoch, after, 13), epochs), (None, three()));
    }
}

#[test]
fn of_very_many_epochs_the_oldest_are_forgotten() {
    let mut epochs = Epochs::of(0);
    (1..=100).for_each(|epoch| assert!(epochs.begin(epoch, id(epoch - 1, 1), epoch.into()).is_some()));
    assert_eq!((epochs.runs().len(), epochs.known_after()), (MOST_RUNS, 37));
    assert_eq!((epochs.place(id(36, 1), 100), epochs.id(37)), (Place::Lost, None));
    assert_eq!((epochs.place(id(37, 1), 100), epochs.id(38)), (Place::At(38), Some(id(37, 1))));
}

#[test]
fn only_epochs_that_follow_each_other_are_read() {
    let run = |epoch, first, position| Run { id: id(epoch, first), position };
    let read = |runs: &[Run]| Epochs::try_from(runs.to_vec());
    assert_eq!(read(three().runs()), Ok(three()));
    for runs in [
        &[][..],
        &[run(2, 0, 0), run(1, 0, 0)],
        &[run(1, 0, 0), run(1, 0, 5)],
        &[run(1, 0, 5), run(2, 0, 4)],
        &[run(1, MAX_POSITION + 1, 0)],
        &[run(1, 0, MAX_POSITION + 1)],
        &(0..65).map(|epoch| run(epoch, 0, 0)).collect::<Vec<_>>(),
    ] {
        assert_eq!(read(runs), Err(NoEpochs), "{runs:?}");
    }
}

/// What happens to a line.
#[derive(Debug, Clone)]
enum Event {
    Publish(u8),
    /// Another epoch, so much later, behind the publication that is so many before the newest, or behind what is none.
    Begin(u32, usize),
    Restart(u32, u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..5u8).prop_map(Event::Publish),
        3 => (1..4u32, 0..8usize).prop_map(|(later, back)| Event::Begin(later, back)),
        1 => (0..4u32, 0..9u64).prop_map(|(later, first)| Event::Restart(later, first)),
    ]
}

proptest! {
    #[test]
    fn each_publication_that_is_kept_has_one_id_and_each_that_is_lost_none(
        events in prop::collection::vec(event(), 1..40),
    ) {
        let (mut epochs, mut base) = (Epochs::of(3), 0);
        // What follows the base, and all that there ever was.
        let (mut line, mut all): (Vec<PublicationId>, Vec<PublicationId>) = (vec![], vec![]);
        for event in events {
            let newest = base + line.len() as u64;
            match event {
                Event::Publish(count) => (0..count).for_each(|_| {
                    let position = base + line.len() as u64 + 1;
                    line.push(epochs.id(position).unwrap());
                    all.push(epochs.id(position).unwrap());
                }),
                Event::Begin(later, back) => {
                    let after = line.iter().rev().nth(back).copied();
                    let after = after.unwrap_or(id(epochs.epoch(), 1000));
                    let begun = epochs.begin(epochs.epoch() + later, after, newest);
                    if let Some(position) = begun {
                        line.truncate(usize::try_from(position - base).unwrap());
                        prop_assert_eq!(line.last(), Some(&after));
                    }
                    prop_assert_eq!(begun.is_none(), after.position() == 1000);
                }
                Event::Restart(later, first) => {
                    epochs = Epochs::new(id(epochs.epoch() + later + 1, first), newest);
                    (base, line) = (newest, vec![]);
                }
            }
            let newest = base + line.len() as u64;
            for (position, id) in (base + 1..).zip(&line) {
                prop_assert_eq!((epochs.id(position), epochs.place(*id, newest)), (Some(*id), Place::At(position)));
            }
            for lost in all.iter().filter(|id| !line.contains(id)) {
                prop_assert_eq!(epochs.place(*lost, newest), Place::Lost);
            }
            let up_to = epochs.up_to(newest).unwrap();
            prop_assert_eq!((up_to.epoch(), epochs.place(up_to, newest)), (epochs.epoch(), Place::At(newest)));
            prop_assert_eq!(epochs.place(epochs.id(newest + 1).unwrap(), newest), Place::Ahead);
        }
    }
}
