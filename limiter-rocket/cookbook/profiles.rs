//! Rocket's profiles: loose limits in debug builds, the real ones in release builds,
//! and others for load tests by `ROCKET_PROFILE=load`. What a profile leaves out is
//! as in `default`.

/// Rocket.toml.
pub const CONFIG: &str = r#"
[default.limiter.policies.default]
quota = "10/second; 1000/hour"

[debug.limiter.policies.default]
quota = "1000/second"

[release.limiter]
trusted_proxies = ["10.0.0.0/16"]
client_ip_header = "x-forwarded-for"

[load.limiter.policies.default]
mode = "shadow"
"#;

#[cfg(test)]
mod tests {
    use limiter_rocket::{Limiter, RateLimitFairing, RateLimited};
    use rocket::{
        State,
        figment::providers::{Format, Toml},
        get,
        local::blocking::Client,
        routes,
    };

    use super::*;

    #[get("/")]
    fn index(_limit: RateLimited, limiter: &State<Limiter>) -> String {
        let default = limiter.policy("default").expect("it is configured");
        let policy = &default.policies()[0];
        let quotas: Vec<_> = policy.quotas().iter().map(|quota| quota.limit()).collect();
        format!("{quotas:?} {:?}", policy.mode())
    }

    #[test]
    fn each_profile_has_its_limits() {
        let expected = [
            ("debug", "[1000] Enforce"),
            ("release", "[10, 1000] Enforce"),
            ("load", "[10, 1000] Shadow"),
        ];
        for (profile, expected) in expected {
            let figment = rocket::Config::figment()
                .merge(Toml::string(CONFIG).nested())
                .join(("limiter.fallback_address", "192.0.2.1"))
                .select(profile);
            let rocket = rocket::custom(figment).attach(RateLimitFairing::from_config());
            let client = Client::untracked(rocket.mount("/", routes![index])).unwrap();
            let answer = client.get("/").dispatch().into_string().unwrap();
            assert_eq!(answer, expected, "{profile}");
        }
    }
}
