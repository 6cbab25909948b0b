use crate::input::{Input, put_bytes};

/// A change to the bytes or the lines of a file. Places are taken modulo what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants tell what their fields are")]
pub enum Edit<'a> {
    /// A byte becomes another.
    Change { at: u16, by: u8 },
    /// Bytes are taken out.
    Remove { at: u16, count: u8 },
    /// Bytes come twice.
    Repeat { at: u16, count: u8 },
    /// Bytes are put in.
    Insert { at: u16, bytes: &'a [u8] },
    /// The file ends here.
    Cut { at: u16 },
    /// Two lines change places.
    SwapLines { one: u8, other: u8 },
    /// A line comes twice.
    RepeatLine { line: u8 },
    /// A line is taken out.
    RemoveLine { line: u8 },
}

impl<'a> Edit<'a> {
    /// The next edit of `input`.
    pub fn read(input: &mut Input<'a>) -> Self {
        match input.byte() % 8 {
            0 => Self::Change {
                at: input.number(),
                by: input.byte(),
            },
            1 => Self::Remove {
                at: input.number(),
                count: input.byte(),
            },
            2 => Self::Repeat {
                at: input.number(),
                count: input.byte(),
            },
            3 => Self::Insert {
                at: input.number(),
                bytes: input.bytes(),
            },
            4 => Self::Cut { at: input.number() },
            5 => Self::SwapLines {
                one: input.byte(),
                other: input.byte(),
            },
            6 => Self::RepeatLine { line: input.byte() },
            _ => Self::RemoveLine { line: input.byte() },
        }
    }

    /// The counterpart of [`read`](Self::read).
    pub fn put(self, seed: &mut Vec<u8>) {
        let placed = |seed: &mut Vec<u8>, number, at: u16| {
            seed.push(number);
            seed.extend_from_slice(&at.to_be_bytes());
        };
        match self {
            Self::Change { at, by } => {
                placed(seed, 0, at);
                seed.push(by);
            }
            Self::Remove { at, count } => {
                placed(seed, 1, at);
                seed.push(count);
            }
            Self::Repeat { at, count } => {
                placed(seed, 2, at);
                seed.push(count);
            }
            Self::Insert { at, bytes } => {
                placed(seed, 3, at);
                put_bytes(seed, bytes);
            }
            Self::Cut { at } => placed(seed, 4, at),
            Self::SwapLines { one, other } => seed.extend_from_slice(&[5, one, other]),
            Self::RepeatLine { line } => seed.extend_from_slice(&[6, line]),
            Self::RemoveLine { line } => seed.extend_from_slice(&[7, line]),
        }
    }

    /// Changes `file`; one that is empty stays so, unless bytes are put in.
    pub fn apply(self, file: &mut Vec<u8>) {
        if let Self::Insert { at, bytes } = self {
            let at = usize::from(at) % (file.len() + 1);
            file.splice(at..at, bytes.iter().copied());
        }
        if file.is_empty() {
            return;
        }
        let len = file.len();
        let place = |at: u16| usize::from(at) % len;
        let range = |at, count: u8| place(at)..(place(at) + usize::from(count)).min(len);
        match self {
            Self::Change { at, by } => file[place(at)] ^= by,
            Self::Remove { at, count } => drop(file.drain(range(at, count))),
            Self::Repeat { at, count } => {
                let range = range(at, count);
                let bytes = file[range.clone()].to_vec();
                file.splice(range.end..range.end, bytes);
            }
            Self::Insert { .. } => {}
            Self::Cut { at } => file.truncate(place(at)),
            Self::SwapLines { one, other } => with_lines(file, |lines| {
                let (one, other) = (index(one, lines), index(other, lines));
                lines.swap(one, other);
            }),
            Self::RepeatLine { line } => with_lines(file, |lines| {
                let line = index(line, lines);
                lines.insert(line, lines[line].clone());
            }),
            Self::RemoveLine { line } => with_lines(file, |lines| {
                lines.remove(index(line, lines));
            }),
        }
    }
}

fn with_lines(file: &mut Vec<u8>, change: impl Fn(&mut Vec<Vec<u8>>)) {
    let mut lines: Vec<_> = super::lines(file).into_iter().map(<[u8]>::to_vec).collect();
    change(&mut lines);
    *file = lines.concat();
}

fn index(number: u8, lines: &[Vec<u8>]) -> usize {
    usize::from(number) % lines.len()
}
