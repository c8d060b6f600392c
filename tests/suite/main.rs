//! All suites in one binary.

mod actix;
mod contract;
mod dependencies;
mod differential;
mod memory;
mod redis;
mod rocket_app;
mod servers;
mod stores;
