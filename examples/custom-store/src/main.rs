//! Counts three requests of one client, two an hour, in a store of its own.

use custom_store::MapStore;
use limiter_core::{Key, Limiter, Policy, Quota, SystemClock};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let policy = Policy::new("api", Quota::per_hour(2)?)?;
    let limiter = Limiter::builder().store(MapStore::new(SystemClock)).policy(policy).build();
    let limiter = limiter.await?;
    let api = limiter.policy("api")?;
    let client = api.subjects_of(&Key::user("alice"));
    for _ in 0..3 {
        println!("{:?}", api.check(&client, 1).await?.verdict());
    }
    Ok(())
}
