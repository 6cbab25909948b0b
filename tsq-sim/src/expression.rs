//! Expressions of clocks and delays: those of the simulator clknetsim.

use std::fmt;

use crate::chance::Stream;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression(Node);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Number(f64),
    Name(Name),
    Call(Function, Vec<Self>),
}

/// What a delay may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Time,
    From,
    To,
    Port,
    Length,
    Subnet,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Add,
    Multiply,
    Remainder,
    Least,
    Greatest,
    Equal,
    Sum,
    Uniform,
    Normal,
    Exponential,
    Poisson,
    Pulse,
    Sine,
    Cosine,
    Triangle,
}

/// Where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A clock's frequency: no names.
    Frequency,
    /// A packet's delay.
    Delay,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError(String);

/// Deeper ones are not parsed: they would need a stack without bound.
const DEEPEST: usize = 50;
/// Nor longer ones.
const LONGEST: usize = 10_000;

impl Expression {
    /// The same value always.
    pub fn number(number: f64) -> Self {
        Self(Node::Number(number))
    }

    /// Parses `text`.
    ///
    /// # Errors
    /// [`ExpressionError`] says what is wrong.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, ExpressionError> {
        if text.len() > LONGEST {
            return error(format!(
                "an expression of {} bytes; {LONGEST} are the most",
                text.len()
            ));
        }
        let words = words(text);
        let mut parser = Parser {
            words: &words,
            kind,
        };
        let node = parser.node(0)?;
        match parser.words.first() {
            None => Ok(Self(node)),
            Some(word) => error(format!("`{word}` after the end of the expression")),
        }
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ExpressionError {}

fn error<T>(reason: impl Into<String>) -> Result<T, ExpressionError> {
    Err(ExpressionError(reason.into()))
}

fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for part in text.split_whitespace() {
        let mut rest = part;
        while let Some(at) = rest.find(['(', ')']) {
            let (before, from) = rest.split_at(at);
            let (parenthesis, after) = from.split_at(1);
            words.extend((!before.is_empty()).then_some(before));
            words.push(parenthesis);
            rest = after;
        }
        words.extend((!rest.is_empty()).then_some(rest));
    }
    words
}

struct Parser<'a> {
    words: &'a [&'a str],
    kind: Kind,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Result<&'a str, ExpressionError> {
        let Some((word, rest)) = self.words.split_first() else {
            return error("the expression ends too early");
        };
        self.words = rest;
        Ok(word)
    }

    fn node(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        if depth > DEEPEST {
            return error(format!("more than {DEEPEST} parentheses within each other"));
        }
        match self.next()? {
            "(" => self.call(depth),
            ")" => error("`)` where a value should be"),
            word => self.word(word),
        }
    }

    fn word(&self, word: &str) -> Result<Node, ExpressionError> {
        if let Ok(number) = word.parse::<f64>() {
            return match number.is_finite() && word.contains(|c: char| c.is_ascii_digit()) {
                true => Ok(Node::Number(number)),
                false => error(format!("`{word}` is no finite number")),
            };
        }
        let name = match word {
            "time" => Name::Time,
            "from" => Name::From,
            "to" => Name::To,
            "port" => Name::Port,
            "length" => Name::Length,
            "subnet" => Name::Subnet,
            _ => return error(format!("`{word}` is neither a number nor a name")),
        };
        match self.kind {
            Kind::Delay => Ok(Node::Name(name)),
            Kind::Frequency => error(format!("`{word}` exists in delays only")),
        }
    }

    fn call(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        let word = self.next()?;
        let Some(function) = Function::named(word) else {
            return error(format!("there is no function `{word}`"));
        };
        let mut arguments = Vec::new();
        while self.words.first() != Some(&")") {
            arguments.push(self.node(depth + 1)?);
        }
        self.next()?;
        function.check(word, &arguments)?;
        Ok(Node::Call(function, arguments))
    }
}

impl Function {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "+" => Self::Add,
            "*" => Self::Multiply,
            "%" => Self::Remainder,
            "min" => Self::Least,
            "max" => Self::Greatest,
            "equal" => Self::Equal,
            "sum" => Self::Sum,
            "uniform" => Self::Uniform,
            "normal" => Self::Normal,
            "exponential" => Self::Exponential,
            "poisson" => Self::Poisson,
            "pulse" => Self::Pulse,
            "sine" => Self::Sine,
            "cosine" => Self::Cosine,
            "triangle" => Self::Triangle,
            _ => return None,
        })
    }

    /// How many arguments it takes: at least and at most.
    fn arity(self) -> (usize, usize) {
        match self {
            Self::Add | Self::Multiply | Self::Least | Self::Greatest | Self::Sum => {
                (1, usize::MAX)
            }
            Self::Remainder | Self::Equal => (2, usize::MAX),
            Self::Uniform | Self::Normal | Self::Exponential => (0, 0),
            Self::Poisson | Self::Sine | Self::Cosine | Self::Triangle => (1, 1),
            Self::Pulse => (2, 2),
        }
    }

    fn check(self, word: &str, arguments: &[Node]) -> Result<(), ExpressionError> {
        let (least, most) = self.arity();
        if arguments.len() < least || arguments.len() > most {
            let wanted = match (least, most) {
                (0, _) => "none".to_owned(),
                (least, usize::MAX) => format!("at least {least}"),
                (least, _) => least.to_string(),
            };
            return error(format!(
                "({word} ...) has {} arguments, and takes {wanted}",
                arguments.len()
            ));
        }
        if !matches!(
            self,
            Self::Poisson | Self::Pulse | Self::Sine | Self::Cosine | Self::Triangle
        ) {
            return Ok(());
        }
        for argument in arguments {
            let Node::Number(number) = *argument else {
                return error(format!("an argument of ({word} ...) is no literal number"));
            };
            let fits = match self {
                Self::Poisson => (1.0..=20.0).contains(&number),
                Self::Pulse => (0.0..=MOST_PULSES).contains(&number) && number.fract() == 0.0,
                _ => number > 0.0,
            };
            if !fits {
                let wanted = match self {
                    Self::Poisson => "is not between 1 and 20",
                    Self::Pulse => "is no whole number from 0 on",
                    _ => "is not above 0",
                };
                return error(format!("{number} in ({word} ...) {wanted}"));
            }
        }
        match (self, arguments) {
            (Self::Pulse, [Node::Number(high), Node::Number(low)]) if high + low == 0.0 => {
                error("(pulse 0 0) has no length")
            }
            _ => Ok(()),
        }
    }
}

/// Whole numbers beyond it are not told apart.
const MOST_PULSES: f64 = 9_007_199_254_740_992.0;

/// What names stand for at one evaluation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names {
    /// Now, s.
    pub time: f64,
    /// The number of the node that sends the packet.
    pub from: f64,
    /// That of the one it is for.
    pub to: f64,
    /// The packet's UDP port.
    pub port: f64,
    /// Its length.
    pub length: f64,
}

/// An expression in use: with counters, sums and streams of its own.
#[derive(Clone, Debug)]
pub struct Instance(Live);

#[derive(Clone, Debug)]
enum Live {
    Number(f64),
    Name(Name),
    Fold(Fold, Vec<Self>),
    Sum(f64, Vec<Self>),
    Uniform(Stream),
    Normal(Stream),
    Exponential(Stream),
    Poisson(f64, Stream),
    Wave(Wave, f64),
}

#[derive(Clone, Copy, Debug)]
enum Fold {
    Add,
    Multiply,
    Remainder,
    Least,
    Greatest,
    Equal,
}

/// A function of how often it was evaluated.
#[derive(Clone, Copy, Debug)]
enum Wave {
    Pulse(f64, f64),
    Sine(f64),
    Cosine(f64),
    Triangle(f64),
}

impl Instance {
    /// The expression as `owner` uses it, under this seed.
    pub fn new(expression: &Expression, seed: u64, owner: u64) -> Self {
        let mut place = 0;
        Self(Live::of(&expression.0, &mut || {
            place += 1;
            Stream::new(seed, owner, place)
        }))
    }

    /// Its next value; may be infinite or no number.
    pub fn evaluate(&mut self, names: &Names) -> f64 {
        self.0.evaluate(names)
    }
}

impl Live {
    fn of(node: &Node, stream: &mut impl FnMut() -> Stream) -> Self {
        let (function, arguments) = match node {
            Node::Number(number) => return Self::Number(*number),
            Node::Name(name) => return Self::Name(*name),
            Node::Call(function, arguments) => (*function, arguments),
        };
        let literal = |index: usize| match arguments.get(index) {
            Some(Node::Number(number)) => *number,
            _ => 0.0,
        };
        let fold = match function {
            Function::Uniform => return Self::Uniform(stream()),
            Function::Normal => return Self::Normal(stream()),
            Function::Exponential => return Self::Exponential(stream()),
            Function::Poisson => return Self::Poisson(literal(0), stream()),
            Function::Pulse => return Self::Wave(Wave::Pulse(literal(0), literal(1)), 0.0),
            Function::Sine => return Self::Wave(Wave::Sine(literal(0)), 0.0),
            Function::Cosine => return Self::Wave(Wave::Cosine(literal(0)), 0.0),
            Function::Triangle => return Self::Wave(Wave::Triangle(literal(0)), 0.0),
            Function::Sum => None,
            Function::Add => Some(Fold::Add),
            Function::Multiply => Some(Fold::Multiply),
            Function::Remainder => Some(Fold::Remainder),
            Function::Least => Some(Fold::Least),
            Function::Greatest => Some(Fold::Greatest),
            Function::Equal => Some(Fold::Equal),
        };
        let arguments = arguments
            .iter()
            .map(|argument| Self::of(argument, stream))
            .collect();
        match fold {
            Some(fold) => Self::Fold(fold, arguments),
            None => Self::Sum(0.0, arguments),
        }
    }

    fn evaluate(&mut self, names: &Names) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Name(name) => match name {
                Name::Time => names.time,
                Name::From => names.from,
                Name::To => names.to,
                Name::Port => names.port,
                Name::Length => names.length,
                Name::Subnet => 1.0,
            },
            Self::Fold(fold, arguments) => fold.over(
                arguments
                    .iter_mut()
                    .map(|argument| argument.evaluate(names)),
            ),
            Self::Sum(total, arguments) => {
                for argument in arguments {
                    *total += argument.evaluate(names);
                }
                *total
            }
            Self::Uniform(stream) => stream.uniform(),
            Self::Normal(stream) => stream.normal(),
            Self::Exponential(stream) => stream.exponential(),
            Self::Poisson(mean, stream) => stream.poisson(*mean),
            Self::Wave(wave, count) => {
                let value = wave.at(*count);
                *count += 1.0;
                value
            }
        }
    }
}

impl Fold {
    /// Evaluates all of them, in order.
    fn over(self, mut values: impl Iterator<Item = f64>) -> f64 {
        let first = values.next().unwrap_or(0.0);
        match self {
            Self::Add => values.fold(first, |a, b| a + b),
            Self::Multiply => values.fold(first, |a, b| a * b),
            Self::Remainder => values.fold(first, |a, b| a % b),
            Self::Least => values.fold(first, f64::min),
            Self::Greatest => values.fold(first, f64::max),
            Self::Equal => {
                let ends = (f64::INFINITY, f64::NEG_INFINITY);
                let (least, greatest) =
                    values.fold(ends, |(low, high), v| (low.min(v), high.max(v)));
                f64::from(u8::from(greatest - least <= first))
            }
        }
    }
}

impl Wave {
    fn at(self, count: f64) -> f64 {
        match self {
            Self::Pulse(high, low) => {
                if count % (high + low) < high {
                    1.0
                } else {
                    -1.0
                }
            }
            Self::Sine(period) => libm::sin(core::f64::consts::TAU * (count % period) / period),
            Self::Cosine(period) => libm::cos(core::f64::consts::TAU * (count % period) / period),
            Self::Triangle(period) => {
                let part = (count % period) / period;
                if part < 0.5 {
                    4.0 * part - 1.0
                } else {
                    3.0 - 4.0 * part
                }
            }
        }
    }
}
