//! Byte stream to one server: TCP, TLS over it, or a unix socket, with a count of the bytes that
//! went out.
//!
//! The count proves what no error says: a call that failed while no byte went out
//! was never sent. Nothing is written to a peer that has closed its end, so that a
//! call which finds the connection closed can be sent again over the next one. The
//! socket itself says so: the runtime learns of the end of a stream only when it
//! comes round to it, which on a busy machine may be after the next write.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures_core::future::BoxFuture;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult,
    aio::MultiplexedConnection,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::{AsFd, BorrowedFd},
};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The events of a socket whose peer has closed its end. `RDHUP` does so behind bytes
/// that nobody has read yet, such as a last TLS record. Other systems report it once
/// both ends are closed; until then the end of the stream is found by reading.
#[cfg(target_os = "linux")]
const CLOSED: PollFlags = PollFlags::RDHUP.union(PollFlags::HUP).union(PollFlags::ERR);
#[cfg(not(target_os = "linux"))]
const CLOSED: PollFlags = PollFlags::HUP.union(PollFlags::ERR);

/// The bytes that went out on a stream.
#[derive(Debug, Default)]
pub(super) struct Traffic(AtomicU64);

impl Traffic {
    /// Returns how many bytes were given to the operating system, at least.
    pub(super) fn sent(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// A connection that was just made.
pub(super) struct Opened {
    pub(super) connection: MultiplexedConnection,
    pub(super) traffic: Arc<Traffic>,
    /// The task that drives the connection; it ends when the connection does.
    pub(super) driver: BoxFuture<'static, ()>,
}

/// Connects to the server at that address, with password and database.
pub(super) async fn open(
    info: &ConnectionInfo,
    config: AsyncConnectionConfig,
) -> RedisResult<Opened> {
    let traffic = Arc::new(Traffic::default());
    let stream = match info.addr() {
        ConnectionAddr::Tcp(host, port) => Box::new(tcp(host, *port).await?) as Box<dyn Bytes>,
        #[cfg(feature = "tls")]
        ConnectionAddr::TcpTls { host, port, insecure: false, .. } => {
            Box::new(tls::connect(host, tcp(host, *port).await?).await?)
        }
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => Box::new(UnixStream::connect(path).await?),
        _ => {
            let message = "an address must be host:port or a unix socket, and a certificate is always checked";
            return Err(RedisError::from((ErrorKind::InvalidClientConfig, message)));
        }
    };
    let stream = CountedStream { stream, traffic: Arc::clone(&traffic) };
    let (connection, driver) =
        MultiplexedConnection::new_with_config(info.redis_settings(), stream, config).await?;
    Ok(Opened { connection, traffic, driver: Box::pin(driver) })
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // No call waits for another to fill a packet.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(feature = "tls")]
mod tls {
    use std::{io, sync::Arc};

    use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
    use tokio::net::TcpStream;
    use tokio_rustls::{TlsConnector, client::TlsStream};

    /// Encrypts the stream, if the system trusts the server's certificate.
    pub(super) async fn connect(host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {
    fn socket(&self) -> BorrowedFd<'_>;
}

impl Bytes for TcpStream {
    fn socket(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

#[cfg(unix)]
impl Bytes for UnixStream {
    fn socket(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

#[cfg(feature = "tls")]
impl Bytes for tokio_rustls::client::TlsStream<TcpStream> {
    fn socket(&self) -> BorrowedFd<'_> {
        self.get_ref().0.as_fd()
    }
}

/// Returns whether the peer has closed its end. A socket that cannot be asked is left
/// to the write itself.
fn is_closed(socket: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(socket, CLOSED)];
    let at_once = Timespec::default();
    poll(&mut asked, Some(&at_once)).is_ok() && asked[0].revents().intersects(CLOSED)
}

struct CountedStream {
    stream: Box<dyn Bytes>,
    traffic: Arc<Traffic>,
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if is_closed(self.stream.socket()) {
            // The driver has just been polled to read, and is woken to read the end.
            return Poll::Pending;
        }
        let sent = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.traffic.0.fetch_add(sent as u64, Ordering::Release);
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
