//! Which socket of a group a packet goes to: a classic BPF program the kernel runs per packet.

use libc::sock_filter;

use super::Generation;
use super::ids::{ID_LENGTH, ID_MARK};

/// Where the packets of an address go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steering {
    /// Everything to one generation; the other is gone, or has not been.
    Settled {
        /// Shards of each generation.
        shards: u8,
        /// That which serves.
        to: Generation,
    },
    /// New connections to one generation, the others' packets to that which has them.
    HandingOver {
        /// Shards of each generation.
        shards: u8,
        /// That which takes over.
        to: Generation,
    },
}

impl Steering {
    /// The program; its result is the place of a socket in its group. A packet too short for it
    /// goes to the first.
    pub(super) fn program(self) -> Vec<sock_filter> {
        match self {
            Self::Settled { shards, to } => settled(shards.into(), base(shards, to)),
            Self::HandingOver { shards, to } => handing_over(shards.into(), base(shards, to)),
        }
    }
}

/// The place of a generation's first socket.
fn base(shards: u8, generation: Generation) -> u32 {
    u32::from(generation.number()) * u32::from(shards)
}

/// The first byte of the connection ID, modulo the number of shards.
fn settled(shards: u32, base: u32) -> Vec<sock_filter> {
    vec![
        load_byte(FIRST),
        skip_unless_bits(LONG_HEADER, 2),
        load_byte(LONG_ID),
        skip(1),
        load_byte(SHORT_ID),
        modulo(shards),
        add(base),
        RETURN,
    ]
}

/// Initial and 0-RTT packets go to the generation that takes over, unless they carry an ID of ours
/// already; all others know whose they are.
fn handing_over(shards: u32, base: u32) -> Vec<sock_filter> {
    vec![
        load_byte(FIRST),
        skip_unless_bits(LONG_HEADER, 12),
        skip_if_bits(HANDSHAKE_OR_RETRY, 9),
        load_byte(LONG_ID_LENGTH),
        skip_unless_equal(ID_LENGTH.into(), 12),
        load_byte(LONG_ID),
        COPY_TO_X,
        load_byte(LONG_ID + 1),
        xor(ID_MARK.into()),
        skip_unless_equal_to_x(7),
        COPY_FROM_X,
        skip(3),
        // Handshake packets.
        load_byte(LONG_ID),
        skip(1),
        // Short headers.
        load_byte(SHORT_ID),
        modulo(2 * shards),
        RETURN,
        // New connections.
        load_byte(LONG_ID),
        modulo(shards),
        add(base),
        RETURN,
    ]
}

const FIRST: u32 = 0;
/// First byte of the destination ID in a short header.
const SHORT_ID: u32 = 1;
/// In a long header: its length, and its first byte.
const LONG_ID_LENGTH: u32 = 5;
const LONG_ID: u32 = 6;
const LONG_HEADER: u32 = 0x80;
/// The upper bit of the packet type: 0 for Initial and 0-RTT (RFC 9000, section 17.2).
const HANDSHAKE_OR_RETRY: u32 = 0x20;

const fn statement(code: u32, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

const fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

const fn load_byte(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, offset)
}

const fn skip(instructions: u32) -> sock_filter {
    statement(libc::BPF_JMP | libc::BPF_JA, instructions)
}

const fn skip_unless_bits(bits: u32, instructions: u8) -> sock_filter {
    let code = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    jump(code, bits, 0, instructions)
}

const fn skip_if_bits(bits: u32, instructions: u8) -> sock_filter {
    let code = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    jump(code, bits, instructions, 0)
}

const fn skip_unless_equal(value: u32, instructions: u8) -> sock_filter {
    let code = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    jump(code, value, 0, instructions)
}

const fn skip_unless_equal_to_x(instructions: u8) -> sock_filter {
    let code = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_X;
    jump(code, 0, 0, instructions)
}

const fn modulo(divisor: u32) -> sock_filter {
    statement(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, divisor)
}

const fn add(value: u32) -> sock_filter {
    statement(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K, value)
}

const fn xor(value: u32) -> sock_filter {
    statement(libc::BPF_ALU | libc::BPF_XOR | libc::BPF_K, value)
}

const COPY_TO_X: sock_filter = statement(libc::BPF_MISC | libc::BPF_TAX, 0);
const COPY_FROM_X: sock_filter = statement(libc::BPF_MISC | libc::BPF_TXA, 0);
const RETURN: sock_filter = statement(libc::BPF_RET | libc::BPF_A, 0);
