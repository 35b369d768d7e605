//! Listening on an address, with what to do where that cannot be.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Listens on an address, which `key` of the configuration names.
pub(crate) async fn listen(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| {
        let way_out = way_out(error.kind(), address, key);
        anyhow::Error::new(error).context(format!("cannot listen on {address}: {way_out}"))
    })
}

fn way_out(kind: io::ErrorKind, address: SocketAddr, key: &str) -> String {
    match kind {
        io::ErrorKind::AddrInUse => format!(
            "another process does; end it (`ss -ltnp 'sport = :{}'` names it), or name another address in {key}",
            address.port()
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "this machine has no such address (`ip address` lists those that it has); name another one in {key}"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 take the right CAP_NET_BIND_SERVICE; give it, or name another port in {key}")
        }
        _ => format!("name another address in {key}"),
    }
}
