//! As much of HTTP/1.1 as a scraper needs: one request, one answer, the connection is closed.

use super::Metrics;

/// The answer to the request that begins with `head`; None until its head is complete.
pub(super) fn answer(head: &[u8], metrics: &Metrics) -> Option<Vec<u8>> {
    let complete = head.windows(4).any(|end| end == b"\r\n\r\n");
    if !complete && head.len() >= MAX_HEAD {
        return Some(response(
            "431 Request Header Fields Too Large",
            PLAIN,
            "too long\n",
            true,
        ));
    }
    complete.then(|| match request_line(head) {
        None => response("400 Bad Request", PLAIN, "not HTTP/1\n", true),
        Some((method @ ("GET" | "HEAD"), path)) => {
            let with_body = method == "GET";
            match path.split('?').next() {
                Some("/metrics") if wants_open_metrics(head) => {
                    response("200 OK", OPEN_METRICS, &metrics.text(), with_body)
                }
                Some("/metrics") => {
                    response("200 OK", PROMETHEUS, &metrics.plain_text(), with_body)
                }
                Some("/healthz") if metrics.is_good() => {
                    response("200 OK", PLAIN, "ok\n", with_body)
                }
                Some("/healthz") => {
                    let unkept = "nobody keeps this host's clock: clients are told stratum 0\n";
                    response("503 Service Unavailable", PLAIN, unkept, with_body)
                }
                _ => response(
                    "404 Not Found",
                    PLAIN,
                    "there is /metrics and /healthz\n",
                    with_body,
                ),
            }
        }
        Some(_) => response(
            "405 Method Not Allowed\r\nAllow: GET, HEAD",
            PLAIN,
            "only GET\n",
            true,
        ),
    })
}

/// A request whose head is longer is refused.
pub(super) const MAX_HEAD: usize = 4096;

/// Method and target.
fn request_line(head: &[u8]) -> Option<(&str, &str)> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    (version.starts_with("HTTP/1.") && words.next().is_none()).then_some((method, target))
}

/// Whether the request asks for OpenMetrics at least as much as for plain text. Who does not care, as a person with
/// curl and a tool behind it, gets the older format, as everywhere.
fn wants_open_metrics(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let ranges = head
        .split("\r\n")
        .filter_map(|line| line.strip_prefix("accept:"))
        .flat_map(|value| value.split(','));
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let weight = parts
            .find_map(|part| part.strip_prefix("q="))
            .map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
        match kind {
            "application/openmetrics-text" => open = open.max(weight),
            "text/plain" => plain = plain.max(weight),
            _ => {}
        }
    }
    open > 0.0 && open >= plain
}

fn response(status: &str, kind: &str, body: &str, with_body: bool) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let body = if with_body { body } else { "" };
    [head.as_bytes(), body.as_bytes()].concat()
}

const PLAIN: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::families::tests::metrics;
    use super::*;

    fn status(head: &str) -> String {
        let answer = answer(head.as_bytes(), &metrics(true)).expect(head);
        let text = String::from_utf8(answer).unwrap();
        text.split("\r\n").next().unwrap().replace("HTTP/1.1 ", "")
    }

    #[test]
    fn scraper_gets_the_format_it_asks_for() {
        for (accept, open) in [
            ("", false),
            ("Accept: */*\r\n", false),
            ("Accept: text/plain\r\n", false),
            ("accept: text/plain;version=0.0.4\r\n", false),
            ("Accept: application/openmetrics-text\r\n", true),
            (
                "ACCEPT: application/openmetrics-text; version=1.0.0; q=0\r\n",
                false,
            ),
            (
                "Accept: application/openmetrics-text;q=0.2, text/plain;q=0.5\r\n",
                false,
            ),
            // As Prometheus 2.50 asks.
            (
                "Accept: application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;\
                 q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n",
                true,
            ),
        ] {
            let head = format!("GET /metrics HTTP/1.1\r\n{accept}\r\n");
            let answer = answer(head.as_bytes(), &metrics(true)).unwrap();
            let text = String::from_utf8(answer).unwrap();
            let kind = text
                .split("\r\n")
                .find(|line| line.starts_with("Content-Type"))
                .unwrap();
            assert_eq!(kind.contains("openmetrics"), open, "{accept}{kind}");
            assert_eq!(kind.contains("version=0.0.4"), !open, "{accept}{kind}");
            assert_eq!(text.ends_with("# EOF\n"), open, "{accept}");
        }
    }

    #[test]
    fn every_request_has_its_status() {
        for (head, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK"),
            ("GET /metrics?name=x HTTP/1.0\r\n\r\n", "200 OK"),
            ("GET /healthz HTTP/1.1\r\n\r\n", "200 OK"),
            ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
            ("GET /metrics\r\n\r\n", "400 Bad Request"),
            ("\u{16}\u{3}\u{1}\r\n\r\n", "400 Bad Request"),
            ("GET /metrics HTTP/2 x\r\n\r\n", "400 Bad Request"),
            (&"x".repeat(MAX_HEAD), "431 Request Header Fields Too Large"),
        ] {
            assert_eq!(status(head), expected, "{head:?}");
        }
    }

    #[test]
    fn incomplete_head_waits_for_more() {
        assert_eq!(answer(b"GET /metrics HTTP/1.1\r\n", &metrics(true)), None);
        assert_eq!(answer(&[b'x'; MAX_HEAD - 1], &metrics(true)), None);
    }

    #[test]
    fn health_is_that_of_the_clock() {
        let ill = answer(b"GET /healthz HTTP/1.1\r\n\r\n", &metrics(false)).unwrap();
        assert!(ill.starts_with(b"HTTP/1.1 503 "));
    }

    #[test]
    fn head_has_the_length_of_a_body_that_is_not_sent() {
        let get = answer(b"GET /metrics HTTP/1.1\r\n\r\n", &metrics(true)).unwrap();
        let head = answer(b"HEAD /metrics HTTP/1.1\r\n\r\n", &metrics(true)).unwrap();
        let get = String::from_utf8(get).unwrap();
        let (get_head, body) = get.split_once("\r\n\r\n").unwrap();
        let length = format!("Content-Length: {}", body.len());
        assert!(get_head.contains(&length), "{get_head}");
        assert!(head.ends_with(b"\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn nothing_a_stranger_sends_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut ended = bytes.clone();
            ended.extend_from_slice(b"\r\n\r\n");
            let _ = answer(&bytes, &metrics(true));
            prop_assert!(answer(&ended, &metrics(true)).is_some());
        }
    }
}
