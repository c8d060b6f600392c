//! The script `incident`, against this server on memory and Redis.

use limiter_tests::incident;

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn in_memory() {
    incident(env!("CARGO_BIN_EXE_observed-rocket"), FOLDER, "Rocket.toml", "memory");
}

#[test]
fn on_redis() {
    let redis = limiter_tests::RedisServer::start();
    incident(env!("CARGO_BIN_EXE_observed-rocket"), FOLDER, "Rocket.toml", &redis.url());
}
