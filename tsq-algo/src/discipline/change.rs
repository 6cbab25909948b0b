//! What can happen between two exchanges that no slow wander explains.

/// What happened between two exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The oscillator runs at another frequency: temperature, another host under the virtual machine.
    Frequency,
    /// The path has another delay.
    Path,
    /// The clocks are apart by something else: one of them was set, or the machine slept.
    Phase,
}
