//! The manual, chapter by chapter. The reference of all configuration keys is in
//! `config`, and what happens while a store is down in [`limiter`](crate::limiter).

#[doc = include_str!("../docs/algorithms.md")]
pub mod algorithms {}

#[doc = include_str!("../docs/bans.md")]
pub mod bans {}

#[doc = include_str!("../docs/client_ip.md")]
pub mod client_ip {}

#[doc = include_str!("../docs/cookbook.md")]
pub mod cookbook {}

#[doc = include_str!("../docs/explain.md")]
pub mod explain {}

#[doc = include_str!("../docs/leased_quota.md")]
pub mod leased_quota {}

#[doc = include_str!("../docs/migrating_from_python.md")]
pub mod migrating_from_python {}

#[doc = include_str!("../docs/observability.md")]
pub mod observability {}

#[doc = include_str!("../docs/performance.md")]
pub mod performance {}

#[doc = include_str!("../docs/plans.md")]
pub mod plans {}

#[doc = include_str!("../docs/reload.md")]
pub mod reload {}

#[doc = include_str!("../docs/stores.md")]
pub mod stores {}

#[doc = include_str!("../docs/writing_a_store.md")]
pub mod writing_a_store {}
