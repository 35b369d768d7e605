//! `tessera ready`: whether the server of this configuration says that it is ready. The health check of the image.
//!
//! Over TLS where the server serves it. Nothing is told to the server and nothing of its answer is believed but the status, so its certificate, which
//! is for the name that others know it by, is not looked at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;

use crate::config::Config;

/// How long the server may take. Whoever checks its health gives this command a second more.
const PATIENCE: Duration = Duration::from_secs(4);

/// Whom to ask.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where the server listens, if `tessera serve` was told so by its `--listen` [default: `http.listen`].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Asks. Says nothing where the server is ready, and fails where it is not or does not answer.
pub(crate) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    let address = reached_at(arguments.listen.unwrap_or(config.http.listen));
    let scheme = if config.http.limits.tls.cert_file.is_empty() { "http" } else { "https" };
    let url = format!("{scheme}://{address}/readyz");
    let client = reqwest::blocking::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .context("cannot make an HTTP client")?;
    let answer = client.get(&url).send().with_context(|| format!("no server answers at {url}"))?;
    let status = answer.status();
    anyhow::ensure!(status == reqwest::StatusCode::OK, "the server at {url} is not ready: it answers {status}");
    Ok(())
}

/// Where this machine reaches a server that listens there, on all addresses perhaps.
fn reached_at(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_reached_on_loopback() {
        let check = |listen: &str, at: &str| assert_eq!(reached_at(listen.parse().unwrap()).to_string(), at);
        check("0.0.0.0:8080", "127.0.0.1:8080");
        check("[::]:8443", "[::1]:8443");
        check("192.0.2.1:80", "192.0.2.1:80");
        check("127.0.0.1:8080", "127.0.0.1:8080");
    }
}
