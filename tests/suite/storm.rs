//! A service under attack, or without its store: no more than the limit is
//! admitted, honest clients are served, and everything is back by itself.
//!
//! Services are the examples of both frameworks as processes of their own, on
//! stores that the tests start. `LIMITER_TEST_STORM=long` makes the tests larger
//! and longer (minutes); run it alone, with `--test-threads 1`.

mod outage;
mod service;

/// How large the tests are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    Short,
    Long,
}

impl Form {
    fn from_environment() -> Self {
        match std::env::var("LIMITER_TEST_STORM").as_deref() {
            Err(_) => Self::Short,
            Ok("long") => Self::Long,
            Ok(other) => panic!("LIMITER_TEST_STORM is {other:?}; write \"long\", or leave it out"),
        }
    }

    /// How long a store may take to answer a service. In the short form programs
    /// are built without optimisation, and other tests run beside; in the long
    /// one it is the default.
    fn timeout(self) -> &'static str {
        if self == Self::Long { "100ms" } else { "500ms" }
    }
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
