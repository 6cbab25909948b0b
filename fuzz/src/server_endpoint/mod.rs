//! A server's endpoint, fed with any packets under a pretend clock, neither panics nor grows past its limits.
//!
//! An input is a list of [`Step`]s. Arbitrary bytes alone would not get past the first packet's encryption: so
//! there are real clients too, whose packets can be lost, repeated, reordered, changed and sent from elsewhere, who
//! say anything in datagrams and on streams, and there are Initial packets, validly encrypted, with any frames.
//!
//! Keys and connection ids are random: what an input finds, it finds again if it does not depend on those.

mod initial;
mod limits;
mod server;
mod step;
mod world;

pub use step::Step;

use crate::input::Input;
use world::World;

/// Takes the steps, then leaves the server alone until it must have forgotten everybody.
///
/// # Panics
///
/// When the property does not hold.
pub fn check(input: &[u8]) {
    let mut input = Input::new(input);
    let mut world = World::default();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        world.take(Step::read(&mut input));
    }
    world.end();
}

/// So that no input takes long.
const STEPS: usize = 300;
