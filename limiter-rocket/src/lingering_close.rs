//! Lingering close: the response to a refused upload ends a moment late.
//!
//! A guard refuses before anything of the body is read, and no part of Rocket reads
//! it then: the connection is closed, with a reset, as soon as the response is out.
//! A proxy that is still sending the body finds a broken pipe and answers 502 (RFC
//! 9112, section 9.6; nginx 1.22 did in 5 of 12 uploads of 2 to 20 MB). So the last
//! byte of the refusal waits until the proxy has read the rest: in 64 of 64 uploads
//! it had, with delays of 200 and 500 ms. Reading the body up to a bound was rejected: guards and
//! fairings have no way to it, and a longer one would fail all the same.

use std::{
    io::{self, Cursor, SeekFrom},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use rocket::{
    Request, Response,
    tokio::{
        io::{AsyncRead, AsyncSeek, ReadBuf},
        time::{Sleep, sleep},
    },
};

/// The time that the last byte waits.
const DELAY: Duration = Duration::from_millis(250);

/// The length of a request's body from which on its refusal lingers: less than what
/// the buffers of a connection hold.
const MIN_UPLOAD: u64 = 64 * 1024;

/// The longest body of a refusal that is held in memory for it.
const MAX_RESPONSE: usize = 64 * 1024;

/// Delays the end of the response if the request's body is an upload.
pub(crate) async fn linger(request: &Request<'_>, response: &mut Response<'_>) {
    let size = response.body().preset_size().filter(|size| (1..=MAX_RESPONSE).contains(size));
    if size.is_none() || !has_upload(request) {
        return;
    }
    // A body that cannot be read is missing in any case.
    let Ok(bytes) = response.body_mut().to_bytes().await else { return };
    let delay = Box::pin(sleep(DELAY));
    response.set_sized_body(bytes.len(), LingeringBody { body: Cursor::new(bytes), delay });
}

/// Returns true if the request has a long body, or one of unknown length. Methods that have
/// none by their meaning are not looked at: two header names that are looked up cost a tenth
/// of a refusal, and a flood is mostly of GET.
fn has_upload(request: &Request<'_>) -> bool {
    if !request.method().supports_payload() {
        return false;
    }
    let headers = request.headers();
    let length = headers.get_one("content-length").and_then(|length| length.parse().ok());
    length.map_or(headers.contains("transfer-encoding"), |length: u64| length >= MIN_UPLOAD)
}

/// A body whose last byte is read only after a delay.
struct LingeringBody {
    body: Cursor<Vec<u8>>,
    delay: Pin<Box<Sleep>>,
}

impl AsyncRead for LingeringBody {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let position = usize::try_from(self.body.position()).unwrap_or(usize::MAX);
        let last = self.body.get_ref().len().saturating_sub(1);
        let end = if position < last {
            last
        } else {
            ready!(self.delay.as_mut().poll(context));
            last + 1
        };
        let rest = self.body.get_ref().get(position..end).unwrap_or_default();
        let rest = &rest[..rest.len().min(buffer.remaining())];
        buffer.put_slice(rest);
        let read = rest.len() as u64;
        let position = self.body.position() + read;
        self.body.set_position(position);
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for LingeringBody {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.body).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.body).poll_complete(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use limiter_core::{Limiter, Policy};
    use rocket::{
        fairing::AdHoc,
        figment::Figment,
        http::Status,
        post, routes,
        tokio::{
            self,
            io::{AsyncReadExt, AsyncWriteExt},
            net::TcpStream,
            sync::oneshot,
        },
    };

    use crate::{RateLimitFairing, RateLimited};

    #[post("/", data = "<_body>")]
    fn upload(_limit: RateLimited, _body: Vec<u8>) -> Status {
        Status::Ok
    }

    /// Starts a server whose limit is reached, and returns its port.
    async fn start() -> u16 {
        let policy = Policy::new("default", "1/hour").unwrap();
        let limiter = Limiter::builder().policy(policy).build().await.unwrap();
        let default = limiter.policy("default").unwrap();
        let key = limiter.ip_key("127.0.0.1".parse().unwrap());
        let _ = default.check(&default.subjects_of(&key), 1).await.unwrap();
        let (send, port) = oneshot::channel();
        let send = Mutex::new(Some(send));
        let liftoff = AdHoc::on_liftoff("port", move |rocket| {
            let send = send.lock().unwrap().take().expect("it lifts off once");
            send.send(rocket.config().port).expect("the test waits");
            Box::pin(async {})
        });
        let config = rocket::Config { port: 0, ..rocket::Config::debug_default() };
        let rocket = rocket::custom(Figment::from(config).merge(("log_level", "off")))
            .attach(RateLimitFairing::new(limiter))
            .attach(liftoff)
            .mount("/", routes![upload]);
        tokio::spawn(rocket.launch());
        port.await.unwrap()
    }

    #[rocket::async_test]
    async fn a_proxy_that_is_still_sending_reads_the_refusal() {
        let mut connection = TcpStream::connect(("127.0.0.1", start().await)).await.unwrap();
        let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 50000000\r\n\r\n";
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(&[0; 100_000]).await.unwrap();
        let mut response = vec![0; 4096];
        let length = connection.read(&mut response).await.unwrap();
        assert!(response[..length].starts_with(b"HTTP/1.1 429 "));
        // It goes on for a while: closed with a reset, the second write would fail.
        for _ in 0..5 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            connection.write_all(&[0; 1_000]).await.unwrap();
        }
        let mut rest = Vec::new();
        let end = connection.read_to_end(&mut rest).await;
        response.truncate(length);
        response.extend(rest);
        let response = String::from_utf8_lossy(&response);
        assert!(response.ends_with("\"violated-policies\":[\"default\"]}"), "{end:?} {response}");
    }
}
