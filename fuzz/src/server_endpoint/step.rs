use crate::input::{Input, put_bytes};

/// One thing that happens to the server. Numbers that name something are taken modulo what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants tell what their fields are")]
pub enum Step<'a> {
    /// A stranger sends a packet, `fill`ed with zeros to 1200 bytes or as it is.
    Stranger {
        from: u8,
        fill: bool,
        packet: &'a [u8],
    },
    /// A stranger sends an Initial packet of 1200 bytes with these frames.
    Initial {
        from: u8,
        connection: u8,
        number: u8,
        frames: &'a [u8],
    },
    /// A packet comes `count` times before anything can be sent.
    Burst {
        count: u8,
        fill: bool,
        packet: &'a [u8],
    },
    /// A real client begins a connection.
    Connect,
    /// A real client's packet arrives.
    Deliver { packet: u8 },
    /// It arrives and is repeated later.
    Repeat { packet: u8 },
    /// It is lost.
    Lose { packet: u8 },
    /// It arrives with a byte changed.
    Alter { packet: u8, at: u16, change: u8 },
    /// It arrives from another address.
    Move { packet: u8, from: u8 },
    /// The server's packets arrive at the clients.
    Reply,
    /// Everything arrives, until nobody has more to say.
    Settle,
    /// Time passes.
    Wait { millis: u16 },
    /// A client sends a datagram.
    Datagram { client: u8, message: &'a [u8] },
    /// A client opens a stream.
    Open {
        client: u8,
        finish: bool,
        message: &'a [u8],
    },
    /// A client writes more to a stream.
    More {
        client: u8,
        stream: u8,
        finish: bool,
        message: &'a [u8],
    },
    /// A client gives up its side of a stream.
    Reset { client: u8, stream: u8 },
    /// A client wants to read no more of a stream.
    Stop { client: u8, stream: u8 },
    /// A client ends its connection.
    Close { client: u8 },
}

impl<'a> Step<'a> {
    /// The next step of `input`.
    pub fn read(input: &mut Input<'a>) -> Self {
        match input.byte() % 18 {
            0 => Self::Stranger {
                from: input.byte(),
                fill: input.flag(),
                packet: input.bytes(),
            },
            1 => Self::Initial {
                from: input.byte(),
                connection: input.byte(),
                number: input.byte(),
                frames: input.bytes(),
            },
            2 => Self::Burst {
                count: input.byte(),
                fill: input.flag(),
                packet: input.bytes(),
            },
            3 => Self::Connect,
            4 => Self::Deliver {
                packet: input.byte(),
            },
            5 => Self::Repeat {
                packet: input.byte(),
            },
            6 => Self::Lose {
                packet: input.byte(),
            },
            7 => Self::Alter {
                packet: input.byte(),
                at: input.number(),
                change: input.byte(),
            },
            8 => Self::Move {
                packet: input.byte(),
                from: input.byte(),
            },
            9 => Self::Reply,
            10 => Self::Settle,
            11 => Self::Wait {
                millis: input.number(),
            },
            12 => Self::Datagram {
                client: input.byte(),
                message: input.bytes(),
            },
            13 => Self::Open {
                client: input.byte(),
                finish: input.flag(),
                message: input.bytes(),
            },
            14 => Self::More {
                client: input.byte(),
                stream: input.byte(),
                finish: input.flag(),
                message: input.bytes(),
            },
            15 => Self::Reset {
                client: input.byte(),
                stream: input.byte(),
            },
            16 => Self::Stop {
                client: input.byte(),
                stream: input.byte(),
            },
            _ => Self::Close {
                client: input.byte(),
            },
        }
    }

    /// Appends the step to `seed`.
    pub fn write(&self, seed: &mut Vec<u8>) {
        match *self {
            Self::Stranger { from, fill, packet } => {
                seed.extend_from_slice(&[0, from, fill.into()]);
                put_bytes(seed, packet);
            }
            Self::Initial {
                from,
                connection,
                number,
                frames,
            } => {
                seed.extend_from_slice(&[1, from, connection, number]);
                put_bytes(seed, frames);
            }
            Self::Burst {
                count,
                fill,
                packet,
            } => {
                seed.extend_from_slice(&[2, count, fill.into()]);
                put_bytes(seed, packet);
            }
            Self::Connect => seed.push(3),
            Self::Deliver { packet } => seed.extend_from_slice(&[4, packet]),
            Self::Repeat { packet } => seed.extend_from_slice(&[5, packet]),
            Self::Lose { packet } => seed.extend_from_slice(&[6, packet]),
            Self::Alter { packet, at, change } => {
                let [high, low] = at.to_be_bytes();
                seed.extend_from_slice(&[7, packet, high, low, change]);
            }
            Self::Move { packet, from } => seed.extend_from_slice(&[8, packet, from]),
            Self::Reply => seed.push(9),
            Self::Settle => seed.push(10),
            Self::Wait { millis } => {
                let [high, low] = millis.to_be_bytes();
                seed.extend_from_slice(&[11, high, low]);
            }
            Self::Datagram { client, message } => {
                seed.extend_from_slice(&[12, client]);
                put_bytes(seed, message);
            }
            Self::Open {
                client,
                finish,
                message,
            } => {
                seed.extend_from_slice(&[13, client, finish.into()]);
                put_bytes(seed, message);
            }
            Self::More {
                client,
                stream,
                finish,
                message,
            } => {
                seed.extend_from_slice(&[14, client, stream, finish.into()]);
                put_bytes(seed, message);
            }
            Self::Reset { client, stream } => seed.extend_from_slice(&[15, client, stream]),
            Self::Stop { client, stream } => seed.extend_from_slice(&[16, client, stream]),
            Self::Close { client } => seed.extend_from_slice(&[17, client]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_were_written() {
        let message = &[1, 2, 3][..];
        let steps = [
            Step::Stranger {
                from: 1,
                fill: true,
                packet: message,
            },
            Step::Initial {
                from: 1,
                connection: 2,
                number: 3,
                frames: message,
            },
            Step::Burst {
                count: 9,
                fill: false,
                packet: message,
            },
            Step::Connect,
            Step::Deliver { packet: 4 },
            Step::Repeat { packet: 5 },
            Step::Lose { packet: 6 },
            Step::Alter {
                packet: 7,
                at: 260,
                change: 8,
            },
            Step::Move { packet: 8, from: 9 },
            Step::Reply,
            Step::Settle,
            Step::Wait { millis: 30_000 },
            Step::Datagram { client: 1, message },
            Step::Open {
                client: 1,
                finish: true,
                message,
            },
            Step::More {
                client: 1,
                stream: 2,
                finish: true,
                message,
            },
            Step::Reset {
                client: 1,
                stream: 2,
            },
            Step::Stop {
                client: 1,
                stream: 2,
            },
            Step::Close { client: 3 },
        ];
        let mut seed = Vec::new();
        steps.iter().for_each(|step| step.write(&mut seed));
        let mut input = Input::new(&seed);
        for step in steps {
            assert_eq!(Step::read(&mut input), step);
        }
        assert!(input.is_empty());
    }
}
