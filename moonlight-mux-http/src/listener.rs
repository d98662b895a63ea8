//! The listening socket, with an error that says what to do.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Why [`bind`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another program, or another run of this one, listens there.
    #[error("the address {address} is in use: choose another port, or end the program that has it")]
    InUse {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// No network interface of this machine has the address.
    #[error("this machine does not have the address {address}")]
    NotOurs {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// Ports below 1024 often need a privilege.
    #[error("not permitted to listen on {address}")]
    NotPermitted {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The operating system refused for another reason.
    #[error("cannot listen on {address}")]
    Refused {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
}

/// Listens on `address`; port 0 takes a free one.
///
/// # Errors
/// When the operating system refuses, with the address in the sentence. Cancel safe.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address },
        io::ErrorKind::AddrNotAvailable => BindError::NotOurs { address },
        io::ErrorKind::PermissionDenied => BindError::NotPermitted { address },
        _ => BindError::Refused { address, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let first = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address).await.unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
        assert!(error.to_string().starts_with(&format!("the address {address} is in use")), "{error}");
    }
}
