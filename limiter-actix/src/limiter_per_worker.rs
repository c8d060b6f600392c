//! Finds a limiter per worker: one that is built inside of the closure that
//! `HttpServer` is given, so that each worker counts for itself.
//!
//! Workers have nothing in common that a middleware can see but the address that
//! they listen on, and the place in the code where the `RateLimit` was made. Two
//! services of one address and one place that have different limiters are the
//! mistake itself. (The thread on which a limiter was built was tried before: a
//! helper thread escapes, and a limiter that an administrator's handler builds
//! is a false alarm.) It shows with the first request that a second worker gets;
//! from then on all requests of that address and place are refused with 500.

use std::{
    net::SocketAddr,
    panic::Location,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::dev::AppConfig;
use limiter_core::{Limiter, Refusal};

/// The services of one listener and place.
struct Listener {
    address: SocketAddr,
    place: &'static Location<'static>,
    /// The limiters of services that are alive: each service has an `Arc` of
    /// its own.
    services: Vec<Weak<Limiter>>,
    has_conflict: Arc<AtomicBool>,
}

/// All listeners with a service that is alive.
static LISTENERS: Mutex<Vec<Listener>> = Mutex::new(Vec::new());

/// A service's part in the search.
pub(crate) struct ListenerLimiter {
    _service: Arc<Limiter>,
    has_conflict: Arc<AtomicBool>,
}

impl ListenerLimiter {
    /// Notes that a service uses a limiter.
    pub(crate) fn register(
        config: &AppConfig,
        place: &'static Location<'static>,
        limiter: Limiter,
    ) -> Self {
        let service = Arc::new(limiter);
        if is_test_service(config) {
            return Self { _service: service, has_conflict: Arc::default() };
        }
        // The list is whole after each change, so a poisoned lock is taken all the same.
        let mut listeners = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
        for listener in &mut *listeners {
            listener.services.retain(|service| service.strong_count() > 0);
        }
        listeners.retain(|listener| !listener.services.is_empty());
        let address = config.local_addr();
        let is_own = |own: &&mut Listener| own.address == address && own.place == place;
        let listener = match listeners.iter_mut().find(is_own) {
            Some(listener) => listener,
            None => {
                let (services, has_conflict) = (Vec::new(), Arc::default());
                listeners.push(Listener { address, place, services, has_conflict });
                listeners.last_mut().expect("it was just added")
            }
        };
        let mut others = listener.services.iter().filter_map(Weak::upgrade);
        if others.any(|other| *other != *service) {
            listener.has_conflict.store(true, Ordering::Relaxed);
        }
        listener.services.push(Arc::downgrade(&service));
        Self { _service: service, has_conflict: Arc::clone(&listener.has_conflict) }
    }

    /// Fails once two services of the listener have different limiters.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if !self.has_conflict.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Refusal::misconfigured(
            "each worker has a limiter of its own, so that each counts for itself; build the \
             limiter before HttpServer::new, and clone it, or the RateLimit, inside of its closure",
        ))
    }
}

/// Returns true if the configuration is of `actix_web::test::init_service`: its services
/// have no listener. (A server's host is its address unless the application says
/// `localhost:8080` itself.)
fn is_test_service(config: &AppConfig) -> bool {
    let test = AppConfig::default();
    config.local_addr() == test.local_addr() && config.host() == test.host()
}
