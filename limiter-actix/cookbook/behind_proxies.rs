//! Behind Cloudflare, nginx or a load balancer: who the client is, and health
//! checks that are not counted.

/// Behind Cloudflare. The networks are those of
/// <https://www.cloudflare.com/ips/>, of which these are some.
pub const CLOUDFLARE: &str = r#"
trusted_proxies = ["173.245.48.0/20", "104.16.0.0/13", "2606:4700::/32"]
client_ip_header = "cf-connecting-ip"

[policies.api]
quota = "2/minute"
"#;

/// Behind nginx of this host, with
/// `proxy_set_header X-Real-IP $remote_addr;`.
pub const NGINX: &str = r#"
trusted_proxies = ["127.0.0.1"]
client_ip_header = "x-real-ip"

[policies.api]
quota = "2/minute"
"#;

/// Behind a load balancer in these subnets. Its health checks come from itself,
/// without the header: they are exempt.
pub const LOAD_BALANCER: &str = r#"
trusted_proxies = ["10.0.0.0/16"]
client_ip_header = "x-forwarded-for"
exempt = ["GET /health"]

[policies.api]
quota = "2/minute"
"#;

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, test, test::TestRequest, web};
    use limiter_actix::{Config, Limiter, RateLimit};

    use super::*;

    /// A request: its path, the peer's address, and a header.
    type Request<'a> = (&'a str, &'a str, Option<(&'a str, &'a str)>);

    /// Sends the requests and returns their statuses.
    async fn statuses(config: &str, requests: &[Request<'_>]) -> Vec<u16> {
        let config = Config::from_toml(config).unwrap();
        let limiter = Limiter::from_config(config).await.unwrap();
        let app = App::new()
            .wrap(RateLimit::new(limiter.policy("api").unwrap()))
            .route("/", web::get().to(HttpResponse::Ok))
            .route("/health", web::get().to(HttpResponse::Ok));
        let app = test::init_service(app).await;
        let mut statuses = Vec::new();
        for (path, peer, header) in requests {
            let request = TestRequest::get().uri(path);
            let request = request.peer_addr(format!("{peer}:5000").parse().unwrap());
            let request = match header {
                Some((name, value)) => request.insert_header((*name, *value)),
                None => request,
            };
            statuses.push(test::call_service(&app, request.to_request()).await.status().as_u16());
        }
        statuses
    }

    #[actix_web::test]
    async fn cloudflare_names_the_client_and_nobody_else_may() {
        let client = Some(("cf-connecting-ip", "203.0.113.7"));
        let other = Some(("cf-connecting-ip", "203.0.113.8"));
        let edge = ("/", "104.16.1.1", client);
        // A client that connects directly and writes the header counts as itself.
        let direct = |header| ("/", "198.51.100.1", header);
        let requests =
            [edge, edge, edge, ("/", "104.16.1.1", other), direct(client), direct(other)];
        assert_eq!(statuses(CLOUDFLARE, &requests).await, [200, 200, 429, 200, 200, 200]);
        let requests = [direct(client), direct(other), direct(client)];
        assert_eq!(statuses(CLOUDFLARE, &requests).await, [200, 200, 429]);
    }

    #[actix_web::test]
    async fn nginx_names_the_client() {
        let from = |client| ("/", "127.0.0.1", Some(("x-real-ip", client)));
        let requests =
            [from("203.0.113.7"), from("203.0.113.7"), from("203.0.113.7"), from("203.0.113.8")];
        assert_eq!(statuses(NGINX, &requests).await, [200, 200, 429, 200]);
    }

    #[actix_web::test]
    async fn what_a_client_wrote_itself_is_never_reached_and_health_checks_are_exempt() {
        let from = |header| ("/", "10.0.3.4", Some(("x-forwarded-for", header)));
        let health = ("/health", "10.0.3.4", None);
        let requests = [
            from("1.1.1.1, 203.0.113.7"),
            from("2.2.2.2, 203.0.113.7"),
            from("3.3.3.3, 203.0.113.7"),
            health,
            health,
            health,
        ];
        assert_eq!(statuses(LOAD_BALANCER, &requests).await, [200, 200, 429, 200, 200, 200]);
    }
}
