//! All suites in one binary.

mod actix;
mod architecture;
mod bypass;
mod cancellation;
mod circuit_breaker;
mod conformance;
mod contract;
mod databases;
mod deny_cache;
mod differential;
mod fuzz;
mod memory;
mod modes;
mod multi_process;
mod peer_regressions;
mod real_servers;
mod redis;
mod remote;
mod rocket_app;
mod servers;
mod sql;
mod storm;
mod switchable_store;
mod test_request;
mod tls;
mod vulnerabilities;
