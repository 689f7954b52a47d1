//! Servers that hand over to others in the midst of everything: everybody hears all, once and in order, and nobody is parted with for
//! it. One that cannot hand over, since somebody is in the midst of a request or on the way out, goes on as if nothing had been.

use crate::draw::{GENEROUS, Lot};
use crate::fates::Fate;
use crate::told::told_by;

fn lot(fates: &[Fate]) -> Lot {
    Lot { millis: 5000, workers: 0..1, fates: fates.into() }
}

#[test]
fn whoever_is_handed_over_hears_all_and_is_not_parted_with() {
    let told = told_by(31_000..31_150, &lot(&[Fate::HandedOver]), |_| GENEROUS);
    let [given_up, done] = told.handovers;
    assert_eq!((told.redeployments, told.crashes, told.tally.farewells), (0, 0, 0));
    let has_all = done > 100 && given_up > 5 && told.tally.publications > 1000 && told.tally.deflated > 100;
    told.assert_enough(has_all);
}

#[test]
fn among_redeployments_and_crashes_it_makes_no_difference() {
    let fates = [Fate::HandedOver, Fate::HandedOver, Fate::HandedOver, Fate::Redeployed, Fate::Crashed];
    let told = told_by(31_500..31_600, &lot(&fates), |_| GENEROUS);
    let has_all = told.handovers[1] > 50 && told.redeployments > 10 && told.crashes > 10;
    told.assert_enough(has_all);
}
