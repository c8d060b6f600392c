//! A service under attack, or without its store: no more than the limit is
//! admitted, honest clients are served, and everything is back by itself.
//!
//! Services are the examples of both frameworks as processes of their own, on
//! stores that the tests start. `LIMITER_TEST_STORM=long` makes the tests larger
//! and longer (minutes); run it alone, with `--test-threads 1`.

mod dead_master;
mod honest;
pub(crate) mod http_client;
mod one_client;
mod outage;
mod refused_writes;
mod rotating_headers;
pub(crate) mod service;
mod slow_store;
mod tasks;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use limiter_core::OnStoreError;

/// The ways to do without a store, and the policies that go each.
const WAYS: [(&str, OnStoreError); 3] =
    [("local", OnStoreError::Local), ("allow", OnStoreError::Allow), ("deny", OnStoreError::Deny)];

/// How large the tests are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    Short,
    Long,
}

impl Form {
    pub(crate) fn from_environment() -> Self {
        match std::env::var("LIMITER_TEST_STORM").as_deref() {
            Err(_) => Self::Short,
            Ok("long") => Self::Long,
            Ok(other) => panic!("LIMITER_TEST_STORM is {other:?}; write \"long\", or leave it out"),
        }
    }

    /// How long a store may take to answer. In the short form programs are built without
    /// optimisation, and other tests run beside; in the long one it is the default.
    fn timeout(self) -> Duration {
        Duration::from_millis(if self == Self::Long { 100 } else { 10_000 })
    }

    /// How many connections a client attacks with, one attack after another.
    fn connections(self) -> &'static [usize] {
        if self == Self::Long { &[2_000, 10_000] } else { &[1_300] }
    }

    /// How many requests each connection sends.
    fn bursts(self) -> usize {
        if self == Self::Long { 10 } else { 1 }
    }

    /// How many checks start at once, one storm after another.
    fn tasks(self) -> &'static [u32] {
        if self == Self::Long { &[1_200, 3_000, 10_000] } else { &[1_200] }
    }

    /// How often a slow store is called, in checks a second.
    fn rates(self) -> &'static [u32] {
        if self == Self::Long { &[100, 500, 2_000, 5_000] } else { &[500] }
    }

    /// How long it is called so.
    fn time(self) -> Duration {
        Duration::from_secs(if self == Self::Long { 20 } else { 3 })
    }
}

/// Storms follow each other: each takes all processors.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static STORM: Mutex<()> = Mutex::new(());
    STORM.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fails with everything that was seen to be wrong, so that one run of a storm shows all.
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Makes a test of a case for each framework on each of those stores. The case
/// is a function of the framework and the store's URL.
macro_rules! on_frameworks {
    ([$($database:ident)+] $case:ident) => {
        mod $case {
            mod actix {
                $(
                    #[test]
                    fn $database() {
                        super::super::$case(
                            crate::storm::service::Framework::Actix,
                            crate::databases::$database(),
                        );
                    }
                )+
            }
            mod rocket {
                $(
                    #[test]
                    fn $database() {
                        super::super::$case(
                            crate::storm::service::Framework::Rocket,
                            crate::databases::$database(),
                        );
                    }
                )+
            }
        }
    };
}
use on_frameworks;
