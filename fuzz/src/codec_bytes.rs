//! Any message that is accepted means the same after it was written again.

use tsq_proto::{Answer, Request, Response, Sequence, error_answer, sequence};

/// Reads `message` as a request and as an answer.
///
/// # Panics
///
/// When the property does not hold.
// tsq: M1 M11
pub fn check(message: &[u8]) {
    if let Ok(request) = Request::decode(message) {
        whole(message, request.encoded_len());
        same_request(&request);
    }
    match Answer::decode(message) {
        Ok(Answer::Response(response)) => {
            whole(message, response.encoded_len());
            same_response(&response);
        }
        Ok(Answer::Error(error)) => {
            let mut buffer = [0; 300];
            let len = error_answer(error.code, error.reason, &mut buffer);
            assert_eq!(Answer::decode(&buffer[..len]), Ok(Answer::Error(error)));
        }
        Err(_) => {}
    }
}

/// What is accepted is a whole sequence of elements, and its length is kept.
fn whole(message: &[u8], encoded_len: usize) {
    assert_eq!(encoded_len, message.len());
    assert_eq!(sequence(message), Sequence::Complete);
}

fn same_request(request: &Request<'_>) {
    let written = request_bytes(request);
    let again = Request::decode(&written).expect("our own bytes are accepted");
    assert_eq!(again, *request);
    assert_eq!(
        request_bytes(&again),
        written,
        "there is one way to write it"
    );
}

fn same_response(response: &Response<'_>) {
    let written = response_bytes(response);
    let again = Response::decode(&written).expect("our own bytes are accepted");
    assert_eq!(again, *response);
    assert_eq!(
        response_bytes(&again),
        written,
        "there is one way to write it"
    );
    let block_len = response
        .signature()
        .map_or(written.len(), |block| block.encoded_len());
    assert_eq!(again.signed_bytes(), &written[..written.len() - block_len]);
}

fn request_bytes(request: &Request<'_>) -> Vec<u8> {
    let mut buffer = vec![0; request.encoded_len()];
    assert_eq!(request.encode(&mut buffer), Ok(buffer.len()));
    buffer
}

fn response_bytes(response: &Response<'_>) -> Vec<u8> {
    let mut buffer = vec![0; response.encoded_len()];
    assert_eq!(response.encode(&mut buffer), Ok(buffer.len()));
    buffer
}
