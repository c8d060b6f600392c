//! Requests as bytes, in shapes that a well-behaved client never sends, to both
//! frameworks as processes: none opens a second count, and none is admitted beyond
//! the limit.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use crate::{
    databases::unique,
    storm::service::{Framework, address, start},
};

const LIMIT: usize = 5;

/// How often each shape is sent, more than the limit.
const TIMES: usize = 10;

/// How long an answer is waited for. A server may leave a broken request unanswered.
const PATIENCE: Duration = Duration::from_secs(1);

/// Heads of requests to a limited route. `{client}` stands for the client's address,
/// which the proxy appends.
const HEADS: [(&str, &str); 34] = [
    ("HTTP/1.0", "GET /api HTTP/1.0\r\n{by}"),
    ("HTTP/1.0, kept alive", "GET /api HTTP/1.0\r\nconnection: keep-alive\r\n{by}"),
    ("another version", "GET /api HTTP/1.2\r\nhost: h\r\n{by}"),
    ("HEAD", "HEAD /api HTTP/1.1\r\nhost: h\r\n{by}"),
    ("a method in small letters", "get /api HTTP/1.1\r\nhost: h\r\n{by}"),
    ("CONNECT", "CONNECT /api HTTP/1.1\r\nhost: h\r\n{by}"),
    ("CONNECT to an authority", "CONNECT h:80 HTTP/1.1\r\nhost: h:80\r\n{by}"),
    ("TRACE", "TRACE /api HTTP/1.1\r\nhost: h\r\n{by}"),
    ("absolute form", "GET http://h/api HTTP/1.1\r\nhost: h\r\n{by}"),
    ("absolute form, another host", "GET HTTP://Example.ORG./api HTTP/1.1\r\nhost: h\r\n{by}"),
    ("absolute form with user and port", "GET http://u:p@h:80/api HTTP/1.1\r\nhost: h\r\n{by}"),
    ("a host in capitals with a dot", "GET /api HTTP/1.1\r\nhost: LOCALHOST.\r\n{by}"),
    ("no host", "GET /api HTTP/1.1\r\n{by}"),
    ("two hosts", "GET /api HTTP/1.1\r\nhost: a\r\nhost: b\r\n{by}"),
    ("an encoded path", "GET /%61%70i HTTP/1.1\r\nhost: h\r\n{by}"),
    ("an encoded percent sign", "GET /%2561pi HTTP/1.1\r\nhost: h\r\n{by}"),
    ("a path of several slashes", "GET //api HTTP/1.1\r\nhost: h\r\n{by}"),
    ("a slash at the end", "GET /api/ HTTP/1.1\r\nhost: h\r\n{by}"),
    ("dots", "GET /x/../api HTTP/1.1\r\nhost: h\r\n{by}"),
    ("a query", "GET /api?_method=OPTIONS HTTP/1.1\r\nhost: h\r\n{by}"),
    ("a fragment", "GET /api#x HTTP/1.1\r\nhost: h\r\n{by}"),
    ("a backslash", "GET \\api HTTP/1.1\r\nhost: h\r\n{by}"),
    ("another method by a header", "GET /api HTTP/1.1\r\nx-http-method-override: OPTIONS\r\n{by}"),
    ("an original path", "GET /api HTTP/1.1\r\nx-original-url: /x\r\nx-rewrite-url: /x\r\n{by}"),
    ("a prefetch", "GET /api HTTP/1.1\r\npurpose: prefetch\r\nrange: bytes=0-0\r\n{by}"),
    ("a condition", "GET /api HTTP/1.1\r\nif-none-match: *\r\nif-modified-since: x\r\n{by}"),
    ("an upgrade", "GET /api HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n{by}"),
    ("claims on lines before", "GET /api HTTP/1.1\r\nx-forwarded-for: 6.6.6.{n}\r\n{by}"),
    (
        "other claims",
        "GET /api HTTP/1.1\r\nforwarded: for=6.6.6.{n}\r\nx-real-ip: 6.6.6.{n}\r\n{by}",
    ),
    ("a claim with a space", "GET /api HTTP/1.1\r\nx-forwarded-for : 6.6.6.{n}\r\n{by}"),
    (
        "a claim that is folded",
        "GET /api HTTP/1.1\r\nx-forwarded-for: 6.6.6.{n},\r\n 7.7.7.{n}\r\n{by}",
    ),
    (
        "a claim behind a bare line end",
        "GET /api HTTP/1.1\r\nx: y\nx-forwarded-for: 6.6.6.{n}\r\n{by}",
    ),
    ("a claim with an underscore", "GET /api HTTP/1.1\r\nx_forwarded_for: 6.6.6.{n}\r\n{by}"),
    (
        "a preflight",
        "OPTIONS /api HTTP/1.1\r\norigin: https://a\r\naccess-control-request-method: GET\r\n{by}",
    ),
];

/// Requests with a body, whole. They are counted by another policy.
const BODIES: [(&str, &str); 7] = [
    ("chunks", "{login}transfer-encoding: chunked\r\n\r\n3\r\nsec\r\n3\r\nret\r\n0\r\n\r\n"),
    (
        "chunks with extensions and trailers",
        "{login}transfer-encoding: chunked\r\ntrailer: x-forwarded-for\r\n\r\n6;a=b\r\nsecret\r\n0\r\n\
         x-forwarded-for: 6.6.6.{n}\r\n\r\n",
    ),
    ("two lengths", "{login}content-length: 6\r\ncontent-length: 6\r\n\r\nsecret"),
    (
        "a length and chunks",
        "{login}content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n",
    ),
    (
        "a request within a body",
        "{login}content-length: 4\r\n\r\nabcdPOST /login HTTP/1.1\r\nhost: h\r\n\
         x-forwarded-for: {client}\r\ncontent-length: 6\r\n\r\nsecret",
    ),
    ("an expectation", "{login}expect: 100-continue\r\ncontent-length: 6\r\n\r\nsecret"),
    (
        "a method by a form",
        "{login}content-type: application/x-www-form-urlencoded\r\ncontent-length: 10\r\n\r\n\
         _method=put",
    ),
];

#[test]
fn no_shape_of_a_request_slips_by_actix() {
    no_shape_of_a_request_slips_by(Framework::Actix);
}

#[test]
fn no_shape_of_a_request_slips_by_rocket() {
    no_shape_of_a_request_slips_by(Framework::Rocket);
}

fn no_shape_of_a_request_slips_by(framework: Framework) {
    let settings = format!("quota = \"{LIMIT}/hour\"\nalgorithm = \"fixed_window\"");
    let server = start(framework, "memory", &unique("raw"), &settings);
    let port = server.port();
    let by = "x-forwarded-for: {client}\r\n";
    let login =
        "POST /login HTTP/1.1\r\nhost: h\r\nx-forwarded-for: {client}\r\nconnection: close\r\n";
    let plain_get = format!("GET /api HTTP/1.1\r\nhost: h\r\n{by}connection: close\r\n\r\n");
    let plain_login = format!("{login}content-length: 6\r\n\r\nsecret");
    let pipelined = format!("GET /api HTTP/1.1\r\nhost: h\r\n{by}\r\n").repeat(TIMES) + &plain_get;
    let heads = HEADS.iter().map(|(name, head)| {
        let shape = format!("{}connection: close\r\n\r\n", head.replace("{by}", by));
        (*name, shape, &plain_get)
    });
    let bodies =
        BODIES.iter().map(|(name, body)| (*name, body.replace("{login}", login), &plain_login));
    let mut faults = Vec::new();
    for (name, shape, plain) in heads.chain(bodies).chain([("pipelined", pipelined, &plain_get)]) {
        let client = address();
        let send = |shape: &str, n: usize| {
            statuses(port, &shape.replace("{client}", &client).replace("{n}", &n.to_string()))
        };
        let shaped: Vec<u16> = (0..TIMES).flat_map(|n| send(&shape, n)).collect();
        let then: Vec<u16> = (0..=LIMIT).flat_map(|n| send(plain, n)).collect();
        let admitted = shaped.iter().chain(&then).filter(|status| **status == 200).count();
        println!("{framework:?}, {name}: {shaped:?}, then {then:?}");
        if admitted > LIMIT || then.last() != Some(&429) {
            faults.push(format!("{name}: {shaped:?}, then {then:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Sends bytes over a connection of its own, and returns the statuses of all answers.
fn statuses(port: u16, bytes: &str) -> Vec<u16> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server may have answered and closed before all is written, and may end the
    // connection without an answer.
    let _ = stream.write_all(bytes.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    let heads = ["HTTP/1.1 ", "HTTP/1.0 "].map(|version| text.split(version).skip(1));
    let status = |head: &str| head.get(..3)?.parse().ok();
    heads.into_iter().flatten().filter_map(status).filter(|status| *status != 100).collect()
}
