//! What the targets share: how an input comes in pieces, and how much memory it may take.

use std::alloc::System;

use cap::Cap;

pub mod client;
pub mod headquarters;
pub mod line;
pub mod process;
pub mod sealing;
pub mod stream;
pub mod truth;
pub mod voice;
pub mod witness;
pub mod world;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// The content of an input, and the pieces in which it comes: the first four octets say how large those are, in turn.
pub fn in_pieces(input: &[u8]) -> Option<(&[u8], impl Iterator<Item = &[u8]> + Clone)> {
    let (sizes, content) = input.split_first_chunk::<4>()?;
    let mut sizes = sizes.iter().map(|size| 1 + usize::from(*size)).cycle();
    let mut rest = content;
    let pieces = std::iter::from_fn(move || {
        let size = sizes.next()?.min(rest.len());
        rest.split_off(..size).filter(|piece| !piece.is_empty())
    });
    Some((content, pieces))
}

/// Ends the process, as when memory is used up, if the act holds more than so many bytes at once.
pub fn within<T>(bytes: usize, act: impl FnOnce() -> T) -> T {
    MEMORY.set_limit(MEMORY.allocated() + bytes).expect("there is more than is in use");
    let outcome = act();
    MEMORY.set_limit(usize::MAX).expect("all there is");
    outcome
}
