//! Which web pages may call.
//!
//! Browsers let any page send requests and open WebSockets to any server, loopback too, and say in `Origin` which
//! page it was. Programs send no `Origin`.

use std::net::IpAddr;

/// Whether a request with these headers may go on.
///
/// Without `Origin` it may. With it, it must be listed in `allowed`, or name the same host as the request itself.
/// The latter counts only for IP addresses and `localhost`: the owner of any other name can let it point here
/// (DNS rebinding), and would then be its own "same host".
pub(crate) fn is_allowed(origin: Option<&str>, host: Option<&str>, allowed: &[String]) -> bool {
    let Some(origin) = origin else { return true };
    if allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    match (authority, host) {
        (Some(authority), Some(host)) => {
            authority.eq_ignore_ascii_case(host) && cannot_be_rebound(host_name(host))
        }
        _ => false,
    }
}

fn cannot_be_rebound(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

/// The name in `name:port`, `[address]:port`, or either without a port.
fn host_name(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_server_and_listed_ones_may_call() {
        let listed = ["https://mux.example.org".to_owned()];
        let table = [
            (None, Some("mux.example.org"), true),
            (None, None, true),
            (Some("http://127.0.0.1:8080"), Some("127.0.0.1:8080"), true),
            (Some("http://localhost:8080"), Some("LOCALHOST:8080"), true),
            (Some("http://mux.localhost:8080"), Some("mux.localhost:8080"), true),
            (Some("http://[::1]:8080"), Some("[::1]:8080"), true),
            (Some("https://192.0.2.1"), Some("192.0.2.1"), true),
            (Some("https://mux.example.org"), Some("127.0.0.1:8080"), true),
            (Some("https://evil.example"), Some("127.0.0.1:8080"), false),
            (Some("http://127.0.0.1:9090"), Some("127.0.0.1:8080"), false),
            (Some("http://evil.example:8080"), Some("evil.example:8080"), false),
            (Some("http://localhost.evil.example"), Some("localhost.evil.example"), false),
            (Some("null"), Some("127.0.0.1:8080"), false),
            (Some("http://127.0.0.1:8080"), None, false),
            (Some("http://["), Some("["), false),
            (Some(""), Some(""), false),
        ];
        for (origin, host, allowed) in table {
            assert_eq!(is_allowed(origin, host, &listed), allowed, "{origin:?} at {host:?}");
        }
    }
}
