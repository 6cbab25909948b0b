//! Writes `seeds/` from `draft/vectors` and from the conversations below: `cargo run --example make_seeds`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde_json::Value;
use tsq_fuzz::input::{put_bytes, put_text};
use tsq_fuzz::receipt_verifier::{Edit, Forgery, good_file};
use tsq_fuzz::response_validator::{Case, OWN};
use tsq_fuzz::server_endpoint::Step;
use tsq_proto::{Answer, HostTime};

/// Seeds of one target, by file name.
type Seeds = BTreeMap<String, Vec<u8>>;

fn main() {
    for (target, seeds) in [
        ("codec_values", codec_values()),
        ("codec_bytes", codec_bytes()),
        ("request_handler", request_handler()),
        ("response_validator", response_validator()),
        ("server_endpoint", server_endpoint()),
        ("receipt_verifier", receipt_verifier()),
        ("clock_keeper", clock_keeper()),
        ("scenario_file", scenario_file()),
    ] {
        write(target, &seeds);
    }
}

/// Findings of the past, named `finding-...`, stay.
fn write(target: &str, seeds: &Seeds) {
    let folder = project().join("fuzz/seeds").join(target);
    fs::create_dir_all(&folder).expect("the tree can be written");
    for entry in fs::read_dir(&folder).expect("the folder was just made") {
        let path = entry.expect("a folder's entry").path();
        let is_finding = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("finding-"));
        if !is_finding {
            fs::remove_file(path).expect("the tree can be written");
        }
    }
    for (name, seed) in seeds {
        fs::write(folder.join(name), seed).expect("the tree can be written");
    }
    println!("{}: {} files", folder.display(), seeds.len());
}

fn codec_bytes() -> Seeds {
    ["requests", "responses", "answers"]
        .into_iter()
        .flat_map(|file| {
            let kind = file.trim_end_matches('s');
            vectors(file)
                .into_iter()
                .map(move |vector| (format!("{kind}-{}", name(&vector)), message(&vector)))
        })
        .collect()
}

/// Each request to a server without keys, whose clock is good, and to one that signs with Ed25519 and tells all.
fn request_handler() -> Seeds {
    const SERVERS: [(&str, u8); 2] = [("plain", 0), ("signing", 5)];
    let mut seeds = Seeds::new();
    for vector in vectors("requests") {
        for (server, choice) in SERVERS {
            let seed = [&[choice], &message(&vector)[..]].concat();
            seeds.insert(format!("{server}-{}", name(&vector)), seed);
        }
    }
    seeds
}

fn response_validator() -> Seeds {
    let mut seeds = Seeds::new();
    for vector in vectors("exchanges") {
        let number = |field: &str| vector[field].as_i64().expect("a number");
        let t1 = number("t1_ns");
        let case = Case {
            t1,
            elapsed: number("t4_ns") - t1,
            limit: number("offset_limit_ns").unsigned_abs(),
            ..CASE
        };
        seeds.insert(
            format!("exchange-{}", name(&vector)),
            judged(case, &message(&vector)),
        );
    }
    for vector in vectors("responses") {
        let message = message(&vector);
        let Ok(Answer::Response(response)) = Answer::decode(&message) else {
            continue;
        };
        let t2 = response
            .receive_timestamp()
            .resolve(HostTime::from_unix(1_795_181_400, 0));
        let case = Case {
            t1: t2.as_unix_nanos() - 10_000,
            ..CASE
        };
        let name = name(&vector);
        if response.signature().is_some() {
            seeds.insert(format!("signed-{name}"), judged(case, &message));
        } else {
            for (how, change) in [("to-sign", 0), ("to-sign-and-change", 1)] {
                let case = Case {
                    sign: true,
                    hmac: change == 1,
                    at: 30,
                    change,
                    ..case
                };
                seeds.insert(format!("{how}-{name}"), judged(case, &message));
            }
        }
    }
    seeds
}

const CASE: Case = Case {
    hmac: false,
    sign: false,
    at: 0,
    change: 0,
    t1: 0,
    elapsed: 1_000_000,
    limit: 86_400_000_000_000,
};

fn judged(case: Case, message: &[u8]) -> Vec<u8> {
    [&case.to_bytes(), message].concat()
}

fn codec_values() -> Seeds {
    let mut request = vec![0, 7];
    request.extend_from_slice(&OWN);
    request.extend_from_slice(&1200_u16.to_be_bytes());
    put_pairs(&mut request, &[("site", "us-east"), ("region", "us")]);

    let mut response = vec![1, 15];
    response.extend_from_slice(&OWN);
    response.extend_from_slice(&[0xee; 16]);
    response.extend_from_slice(&[2, 3]);
    put_text(&mut response, "roof");
    response.extend_from_slice(&[3, 0, 20, 1, 44]);
    put_text(&mut response, "ocxo \u{3bc}");
    response.extend_from_slice(&[1, 0, 0, 0, 7]);
    put_bytes(&mut response, &[0x5a; 64]);
    response.extend_from_slice(&300_u16.to_be_bytes());
    let long = "x".repeat(126);
    put_pairs(
        &mut response,
        &[("a", &long), ("b", &long), ("b", ""), ("c", &long)],
    );

    let error = [&[2, 1], "not a request \u{e9}".repeat(20).as_bytes()].concat();

    let mut profile = vec![3, 0x7f, 1, 0, 37];
    put_text(&mut profile, "google-24h");
    profile.extend_from_slice(&1_500_000_u64.to_be_bytes());
    profile.extend_from_slice(&u64::MAX.to_be_bytes());
    put_text(&mut profile, "C0000201");
    profile.push(1);
    put_text(&mut profile, "tsqd/0.1.0");
    put_pairs(
        &mut profile,
        &[("site", "us-east"), ("site", "us-west"), ("zone", "")],
    );

    [
        ("request", request),
        ("response", response),
        ("error", error),
        ("profile", profile),
    ]
    .map(|(name, seed)| (name.to_owned(), seed))
    .into()
}

fn put_pairs(seed: &mut Vec<u8>, pairs: &[(&str, &str)]) {
    seed.push(u8::try_from(pairs.len()).expect("a few pairs"));
    for (key, value) in pairs {
        put_text(seed, key);
        put_text(seed, value);
    }
}

/// The good file as it is, changed, and forged.
fn receipt_verifier() -> Seeds {
    let edits: [(&str, Edit<'_>); 11] = [
        ("unchanged", Edit::Change { at: 0, by: 0 }),
        ("changed", Edit::Change { at: 200, by: 1 }),
        ("changed-name", Edit::Change { at: 100, by: 1 }),
        ("shorter", Edit::Remove { at: 200, count: 2 }),
        ("longer", Edit::Repeat { at: 200, count: 2 }),
        ("spaced", Edit::Insert { at: 1, bytes: b" " }),
        ("cut", Edit::Cut { at: 1000 }),
        ("cut-to-nothing", Edit::Cut { at: 0 }),
        ("swapped", Edit::SwapLines { one: 1, other: 2 }),
        ("doubled", Edit::RepeatLine { line: 1 }),
        ("removed", Edit::RemoveLine { line: 3 }),
    ];
    let edits = edits.map(|(name, edit)| {
        let mut seed = vec![1];
        edit.put(&mut seed);
        (format!("edited-{name}"), seed)
    });
    // At these bytes: the nonce, the end of a plain request, the end of T3.
    let places = [2_u8, 18, 37];
    let fields = (0..15).flat_map(|field| places.map(|at| (field, at)));
    let forgeries = fields.map(|(field, at)| {
        let mut seed = vec![2];
        let forgery = Forgery {
            receipt: 1,
            field,
            at,
            by: 1,
        };
        forgery.put(&mut seed);
        (format!("forged-{field}-{at}"), seed)
    });
    let whole = ("file".into(), [&[0], good_file()].concat());
    let mut seeds: Seeds = edits.into_iter().chain(forgeries).chain([whole]).collect();
    seeds.insert("nothing".into(), vec![0]);
    seeds
}

fn server_endpoint() -> Seeds {
    let request = request("nonce alone, as the programs in the field ask");
    let asking = [&request[..], &[247, 0, 252, 0]].concat();
    let (first, last) = request.split_at(7);
    let hello = client_hello();
    let (hello_begin, hello_end) = hello.split_at(200);
    let ask = |message| Step::Datagram { client: 0, message };
    let open = |finish, message| Step::Open {
        client: 0,
        finish,
        message,
    };
    let more = |finish, message| Step::More {
        client: 0,
        stream: 0,
        finish,
        message,
    };
    let unknown_version = [
        &[0xc0, 0xba, 0xba, 0xba, 0xba, 8][..],
        &[7; 8],
        &[8],
        &[9; 8],
    ]
    .concat();
    let short_header = [&[0x40][..], &[7; 60]].concat();
    let long: Vec<u8> = [&request[..], &[254, 255], &[0; 255]].concat();
    let piece = PIECE.repeat(505);
    let conversations: [(&str, &[Step<'_>]); 16] = [
        (
            "datagrams",
            &[
                Step::Connect,
                Step::Settle,
                ask(&request),
                ask(&asking),
                ask(&long),
                ask(b"?"),
                Step::Settle,
            ],
        ),
        (
            "stream-finished",
            &[
                Step::Connect,
                Step::Settle,
                open(true, &request),
                Step::Settle,
            ],
        ),
        (
            "stream-never-finished",
            &[
                Step::Connect,
                Step::Settle,
                open(false, &request),
                Step::Settle,
                Step::Wait { millis: 5 },
                Step::Settle,
            ],
        ),
        (
            "stream-in-pieces",
            &[
                Step::Connect,
                Step::Settle,
                open(false, first),
                Step::Settle,
                more(true, last),
                Step::Settle,
            ],
        ),
        (
            "stream-too-long",
            &[
                Step::Connect,
                Step::Settle,
                open(false, &piece),
                Step::Settle,
                more(false, &piece),
                Step::Settle,
                more(false, &piece),
                Step::Settle,
                more(false, &piece),
                Step::Settle,
            ],
        ),
        (
            "stream-given-up",
            &[
                Step::Connect,
                Step::Settle,
                open(false, first),
                open(false, first),
                Step::Settle,
                Step::Reset {
                    client: 0,
                    stream: 0,
                },
                Step::Stop {
                    client: 0,
                    stream: 1,
                },
                Step::Settle,
            ],
        ),
        (
            "lost-and-repeated",
            &[
                Step::Connect,
                Step::Lose { packet: 0 },
                Step::Wait { millis: 100 },
                Step::Repeat { packet: 0 },
                Step::Reply,
                Step::Settle,
                ask(&request),
                Step::Repeat { packet: 0 },
                Step::Settle,
            ],
        ),
        (
            "changed",
            &[
                Step::Connect,
                Step::Alter {
                    packet: 0,
                    at: 100,
                    change: 1,
                },
                Step::Wait { millis: 100 },
                Step::Settle,
                ask(&request),
                Step::Alter {
                    packet: 0,
                    at: 20,
                    change: 255,
                },
                Step::Settle,
            ],
        ),
        (
            "overtaking",
            &[
                Step::Connect,
                Step::Deliver { packet: 0 },
                Step::Reply,
                ask(&request),
                open(true, &request),
                Step::Deliver { packet: 2 },
                Step::Deliver { packet: 1 },
                Step::Settle,
            ],
        ),
        (
            "moved",
            &[
                Step::Connect,
                Step::Settle,
                ask(&request),
                Step::Move { packet: 0, from: 3 },
                Step::Wait { millis: 500 },
                ask(&request),
                Step::Settle,
            ],
        ),
        (
            "closed",
            &[
                Step::Connect,
                Step::Settle,
                open(false, first),
                Step::Settle,
                Step::Close { client: 0 },
                Step::Settle,
            ],
        ),
        (
            "silent",
            &[
                Step::Connect,
                Step::Settle,
                open(false, first),
                Step::Settle,
                Step::Wait { millis: 31_000 },
            ],
        ),
        (
            "four-clients",
            &[
                Step::Connect,
                Step::Connect,
                Step::Connect,
                Step::Connect,
                Step::Settle,
                Step::Datagram {
                    client: 3,
                    message: &request,
                },
                Step::Open {
                    client: 2,
                    finish: true,
                    message: &asking,
                },
                Step::Close { client: 1 },
                Step::Settle,
            ],
        ),
        (
            "strangers",
            &[
                Step::Stranger {
                    from: 1,
                    fill: true,
                    packet: &unknown_version,
                },
                Step::Stranger {
                    from: 2,
                    fill: false,
                    packet: &short_header,
                },
                Step::Burst {
                    count: 200,
                    fill: true,
                    packet: &unknown_version,
                },
                Step::Burst {
                    count: 200,
                    fill: false,
                    packet: &short_header,
                },
            ],
        ),
        (
            "hello-in-one",
            &[
                Step::Initial {
                    from: 1,
                    connection: 1,
                    number: 0,
                    frames: &crypto(0, &hello),
                },
                Step::Wait { millis: 2000 },
            ],
        ),
        (
            "hello-in-two",
            &[
                Step::Initial {
                    from: 1,
                    connection: 1,
                    number: 0,
                    frames: &crypto(200, hello_end),
                },
                Step::Initial {
                    from: 1,
                    connection: 1,
                    number: 1,
                    frames: &crypto(0, hello_begin),
                },
                Step::Initial {
                    from: 2,
                    connection: 2,
                    number: 0,
                    frames: &[1, 2, 0, 0, 0, 0, 0x1c, 0, 0, 0],
                },
                Step::Wait { millis: 2000 },
            ],
        ),
    ];
    conversations
        .into_iter()
        .map(|(name, steps)| (name.to_owned(), written(steps)))
        .collect()
}

fn written(steps: &[Step<'_>]) -> Vec<u8> {
    let mut seed = Vec::new();
    steps.iter().for_each(|step| step.write(&mut seed));
    seed
}

/// No whole element begins with it, at least not in this many bytes.
const PIECE: [u8; 1] = [255];

/// A CRYPTO frame (RFC 9000, section 19.6).
fn crypto(offset: u16, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).expect("it fits a packet");
    let [o1, o0] = (offset | 0x4000).to_be_bytes();
    let [l1, l0] = (len | 0x4000).to_be_bytes();
    [&[6, o1, o0, l1, l0], data].concat()
}

/// What a client of ours says first, as TLS.
fn client_hello() -> Vec<u8> {
    use rustls::quic::{ClientConnection, Version};
    let mut tls = rustls::ClientConfig::builder_with_provider(tsq_net::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"tsq".to_vec(), b"tsq/1".to_vec()];
    let name = "localhost".try_into().expect("a valid name");
    // Transport parameters: initial_source_connection_id, max_datagram_frame_size.
    let parameters = vec![0x0f, 4, 1, 1, 2, 3, 0x20, 2, 0x44, 0xb0];
    let mut client =
        ClientConnection::new(tls.into(), Version::V1, name, parameters).expect("a client");
    let mut hello = Vec::new();
    client.write_hs(&mut hello);
    hello
}

fn request(name: &str) -> Vec<u8> {
    let all = vectors("requests");
    let vector = all.iter().find(|vector| vector["name"] == name);
    message(vector.unwrap_or_else(|| panic!("no request is named {name:?}")))
}

fn vectors(file: &str) -> Vec<Value> {
    let path = project().join("draft/vectors").join(format!("{file}.json"));
    let text = fs::read_to_string(path).expect("the vectors are in the tree");
    let file: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    file["vectors"]
        .as_array()
        .expect("a list of vectors")
        .clone()
}

fn message(vector: &Value) -> Vec<u8> {
    let digits = vector["hex"].as_str().expect("hexadecimal digits");
    HEXLOWER
        .decode(digits.as_bytes())
        .expect("hexadecimal digits")
}

/// A vector's name as a file's.
fn name(vector: &Value) -> String {
    let name = vector["name"].as_str().expect("a name").to_lowercase();
    let words = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("fuzz/ is in the project")
        .to_owned()
}

/// Exchanges with three sources: near the truth, far from it, lost, and slept over.
fn clock_keeper() -> Seeds {
    let exchange = |index: u32, flags: u8| {
        let mut bytes = 900_u32.to_le_bytes().to_vec();
        bytes.extend(20_000_u32.to_le_bytes());
        for _ in 0..2 {
            let offset = (1_u64 << 31) + u64::from(index) * 1_000_003 % 20_000_000;
            bytes.extend(offset.to_le_bytes());
        }
        bytes.push(flags | (index % 3) as u8);
        bytes
    };
    [
        ("near", 0),
        ("far", 0x20),
        ("lost", 0x40),
        ("slept", 0x80),
        ("unkept", 0x10),
        ("vague", 8),
    ]
    .map(|(name, flags)| {
        let bytes = (0..30).flat_map(|index| exchange(index, if index < 18 { 0 } else { flags }));
        (name.to_owned(), bytes.collect())
    })
    .into()
}

fn scenario_file() -> Seeds {
    let scenarios = project().join("tsq-sim/scenarios");
    [
        "chrony/C009.toml",
        "chrony/C125.toml",
        "events/reload.toml",
        "events/suspend.toml",
        "events/restart-empty.toml",
        "sources/one-jumps.toml",
        "waits/buffer-bloat.toml",
        "waits/poisson.toml",
    ]
    .map(|file| {
        let text = fs::read(scenarios.join(file)).expect("a scenario of ours");
        (file.replace('/', "-"), text)
    })
    .into()
}
