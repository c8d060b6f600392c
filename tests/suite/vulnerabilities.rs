//! Published holes of rate limiters, each a test that fails without the defence
//! against it. Some need more than these files have: paths under other names
//! (better-auth, GHSA-x732-6j76-qmhm) are in `bypass`, requests that are
//! cancelled in `cancellation` as well, a key without a time to live in `redis`.

mod client_identity;
mod state;

use limiter_core::{Config, Limiter, LimiterBuilder, Store};

async fn configured(text: &str) -> Limiter {
    Limiter::from_config(Config::from_toml(text).unwrap()).await.unwrap()
}

async fn stored(text: &str, store: impl Store) -> Limiter {
    let config = Config::from_toml(text).unwrap();
    LimiterBuilder::from_config(config).store(store).build().await.unwrap()
}

const TEN: &str = "[policies.api]\nquota = \"10/hour\"";
