//! What is published where its content counts: JSON values as a shop's backend would publish them, each different, and of
//! such a length that the whole frame has about so many octets. The same come in every run.

use super::floor::publications;

/// So many different values of each size take turns: the same does not come again before the others have.
const VARIANTS: u64 = 64;

const VERBS: &str = "placed, paid, packed, shipped, delivered, returned";
const NAMES: &str = "Mara Lindqvist, Jonas Weber, Aiko Tanaka, Luis Ortega, Ines Moreau, Tom Baker, Priya Nair, \
    Oleg Petrenko, Hanna Virtanen, Ben Okafor, Sofia Rossi, Paul Novak, Leila Haddad, Emma Clark, Nils Berg, Rosa Almeida";
const PRODUCTS: &str = "Enamel mug, Wool blanket, Desk lamp, Cast-iron pan, Linen apron, Notebook A5, Oak shelf, \
    Rain jacket, Trail shoes, Bread knife, Tea kettle, Wall clock, Bike pump, Seed box, Canvas bag, Paper kite, \
    Chess set, Folding chair, Steel bottle, Picture frame";
const COLOURS: &str = "red, navy, olive, white, grey, black, sand, teal";
const WORDS: &str = "the, parcel, was, handed, to, carrier, and, will, arrive, between, noon, five, please, have, \
    someone, at, home, a, signature, is, required, your, neighbour, can, also, take, it, if, you, leave, note, on, \
    door, one, item, of, this, order, follows, separately, because, our, warehouse, in, Lyon, sends, directly, refund, \
    has, been, issued, card, ending, with, expect, within, three, working, days, thank, for, patience, we, are, sorry, \
    about, delay, which, weather, caused, near, border";

/// Values of one size.
#[derive(Debug)]
pub struct Notifications {
    pub name: &'static str,
    /// JSON.
    pub values: Vec<String>,
    /// The octets of the plain frame: its header (RFC 6455 §5.2) and the JSON object around the value. Ids grow with the
    /// number of publications before, so that it may be an octet or two more.
    pub frame_bytes: usize,
}

impl Notifications {
    /// 128 B, 512 B and 2 KiB. The least is a mere hint that something has changed: more does not fit in.
    pub fn all() -> [Self; 3] {
        [("128 B", 128), ("512 B", 512), ("2 KiB", 2048)].map(|(name, bytes)| Self::of(name, bytes))
    }

    fn of(name: &'static str, frame_bytes: usize) -> Self {
        let around = |data: &str| publications(data, 10, 1)[0].len() - data.len();
        let room = frame_bytes - around(&format!("\"{}\"", "x".repeat(frame_bytes)));
        let values = (0..VARIANTS).map(|variant| value(&mut Dice(variant), room)).collect::<Vec<_>>();
        Self { name, frame_bytes: around(&values[0]) + values[0].len(), values }
    }
}

/// A value of so many octets, if these are enough for an order with some text; otherwise a short one.
fn value(dice: &mut Dice, room: usize) -> String {
    let order = 100 + dice.below(900);
    let (verb, name) = (dice.one_of(VERBS), dice.one_of(NAMES));
    let (customer, paid) = (uuid(dice), dice.below(50_000));
    let begin = format!(
        r#"{{"order":{order},"event":"order.{verb}","customer":{{"id":"{customer}","name":"{name}"}},"url":"https://shop.example/orders/{order}","total":{},"items":["#,
        money(paid)
    );
    let text = r#"],"text":""#;
    let end = r#""}"#;
    let Some(mut left) = room.checked_sub(begin.len() + text.len() + end.len()) else {
        return format!(r#"{{"job":{order}}}"#);
    };
    // Some room is for the text.
    let (mut items, mut room_for_items) = (Vec::new(), left * 2 / 3);
    loop {
        let item = item(dice);
        let needed = item.len() + usize::from(!items.is_empty());
        let Some(rest) = room_for_items.checked_sub(needed) else { break };
        (room_for_items, left) = (rest, left - needed);
        items.push(item);
    }
    let mut words = String::new();
    while words.len() < left {
        words += dice.one_of(WORDS);
        words += " ";
    }
    words.truncate(left);
    [&begin, &*items.join(","), text, &words, end].concat()
}

fn item(dice: &mut Dice) -> String {
    let (product, colour) = (dice.one_of(PRODUCTS), dice.one_of(COLOURS));
    let (sku, quantity, price) = (dice.below(100_000), 1 + dice.below(4), money(dice.below(20_000)));
    format!(
        r#"{{"sku":"K{sku:05}","name":"{product}","colour":"{colour}","quantity":{quantity},"price":{price}}}"#
    )
}

fn uuid(dice: &mut Dice) -> String {
    let (high, low) = (dice.roll(), dice.roll());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Pseudo-random numbers: SplitMix64, which takes any seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// One of some words that are separated by commas.
    fn one_of<'a>(&mut self, choices: &'a str) -> &'a str {
        let count = choices.split(", ").count() as u64;
        let place = usize::try_from(self.below(count)).expect("it is less than their number");
        choices.split(", ").nth(place).expect("it is less than their number")
    }
}
