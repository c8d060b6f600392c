//! A TCP proxy that can be told to misbehave.

use std::{
    io::{Read, Write},
    mem,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

/// Treatment of the server's answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Permit,
    /// Nothing comes back, and nothing gets there.
    Hang,
    /// Three bytes of an answer come back, and then the connection ends.
    Cut,
    /// The next piece of a request gets there, and the connection ends without an answer. Then all is
    /// permitted again.
    LoseAnswer,
    /// Everything comes back so much later.
    Delay(Duration),
}

/// In front of one server. It stops when this is dropped.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: String,
    mode: Mutex<Mode>,
    refuses: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Stands in front of the server of an URL.
    pub(crate) fn start(url: &str) -> Self {
        let shared = Arc::new(Shared {
            target: authority(url).to_owned(),
            mode: Mutex::new(Mode::Permit),
            refuses: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it was just bound").port();
        let proxy = Self { port, shared };
        proxy.listen(listener);
        proxy
    }

    /// The URL, by way of the proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replacen(authority(url), &format!("127.0.0.1:{}", self.port), 1)
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// Ends all connections, and takes no more.
    pub(crate) fn refuse(&self) {
        self.shared.refuses.store(true, Ordering::SeqCst);
        // The listener hears of it by one connection more, and is gone then.
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Takes connections again.
    pub(crate) fn accept(&self) {
        self.shared.refuses.store(false, Ordering::SeqCst);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port));
        self.listen(listener.expect("the port is still ours"));
    }

    fn listen(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.refuses.load(Ordering::SeqCst) {
                    return;
                }
                shared.connect(client);
            }
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.refuse();
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect(&self.target) else { return };
        let twice = |stream: &TcpStream| stream.try_clone().expect("a stream can be shared");
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
            self.open.lock().unwrap().push(twice(stream));
        }
        let (asks, answers) = (Arc::clone(self), Arc::clone(self));
        let (from, to) = (twice(&client), twice(&server));
        thread::spawn(move || asks.pump(from, to, false));
        thread::spawn(move || answers.pump(server, client, true));
    }

    /// Returns how the next piece is treated.
    fn mode_of(&self, are_answers: bool) -> Mode {
        let mut mode = self.mode.lock().unwrap();
        match *mode {
            Mode::LoseAnswer if are_answers => Mode::Permit,
            Mode::LoseAnswer => mem::replace(&mut *mode, Mode::Permit),
            mode => mode,
        }
    }

    fn pump(&self, mut from: TcpStream, to: TcpStream, are_answers: bool) {
        let (sender, receiver) = mpsc::channel();
        let writer = thread::spawn(move || write_when_due(to, &receiver));
        let (mut buffer, mut lost) = ([0; 65_536], false);
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let mode = self.mode_of(are_answers);
            lost = matches!(mode, Mode::LoseAnswer);
            let cut = are_answers && matches!(mode, Mode::Cut) || lost;
            let bytes = match mode {
                Mode::Hang => continue,
                Mode::Cut if are_answers => &buffer[..read.min(3)],
                _ => &buffer[..read],
            };
            let delay = match mode {
                Mode::Delay(time) if are_answers => time,
                _ => Duration::ZERO,
            };
            if sender.send((Instant::now() + delay, bytes.to_vec())).is_err() || cut {
                break;
            }
        }
        if lost {
            let _ = from.shutdown(Shutdown::Both);
        }
        drop(sender);
        let _ = writer.join();
        let _ = from.shutdown(Shutdown::Both);
    }
}

/// Writes each piece when its time has come, so that what comes meanwhile is
/// not later for it.
fn write_when_due(mut to: TcpStream, pieces: &Receiver<(Instant, Vec<u8>)>) {
    for (due, bytes) in pieces {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// `host:port` of an URL.
pub(crate) fn authority(url: &str) -> &str {
    let (_, rest) = url.split_once("://").expect("an URL has a scheme");
    let rest = rest.split('/').next().unwrap_or(rest);
    rest.rsplit('@').next().unwrap_or(rest)
}
