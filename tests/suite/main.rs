//! All suites in one binary.

mod abandoned;
mod actix;
mod contract;
mod databases;
mod denied;
mod dependencies;
mod differential;
mod evasions;
mod facts;
mod faults;
mod fuzz;
mod holes;
mod memory;
mod outage;
mod peers;
mod processes;
mod redis;
mod rocket_app;
mod servers;
mod shared;
mod sql;
mod stores;
mod switched;
mod tls;
