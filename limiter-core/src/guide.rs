//! The manual, chapter by chapter.

#[doc = include_str!("../docs/algorithms.md")]
pub mod algorithms {}

#[doc = include_str!("../docs/bans.md")]
pub mod bans {}

#[doc = include_str!("../docs/migrating_from_python.md")]
pub mod migrating_from_python {}
