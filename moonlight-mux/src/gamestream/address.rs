//! Where a host is.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::text_form::text_form;

/// A host's name or address, and the port of its HTTP server, from which all other ports follow or are told. As text
/// `name`, `name:port`, `192.168.1.5`, `[::1]:47989`, or an IPv6 address without brackets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostAddress {
    /// A name, or an address without brackets.
    name: String,
    port: u16,
}

/// Text that is no [`HostAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a host is a name or an address, with or without a port, as in pc.lan, 192.168.1.5 or [::1]:47989")]
pub struct InvalidHostAddress;

impl HostAddress {
    /// The port of HTTP where none is given (session 3).
    pub const DEFAULT_PORT: u16 = 47989;

    /// Name or address without port or brackets.
    ///
    /// # Errors
    /// When it has other characters than names and addresses have, or more than 253; or the port is 0. An IPv6 address with
    /// the interface behind it, as in `fe80::1%eth0`, is none either: sessions go to addresses that mean the same everywhere.
    pub fn new(name: &str, port: u16) -> Result<Self, InvalidHostAddress> {
        let is_name = name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'));
        let is_v6 = name.parse::<Ipv6Addr>().is_ok();
        if (1..=253).contains(&name.len()) && port != 0 && (is_name || is_v6) {
            Ok(Self { name: name.to_owned(), port })
        } else {
            Err(InvalidHostAddress)
        }
    }

    /// The name, or the address without brackets.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port of HTTP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for HostAddress {
    type Err = InvalidHostAddress;

    fn from_str(text: &str) -> Result<Self, InvalidHostAddress> {
        let port = |text: &str| match text {
            "" => Ok(Self::DEFAULT_PORT),
            text if text.bytes().all(|c| c.is_ascii_digit()) => text.parse().map_err(|_| InvalidHostAddress),
            _ => Err(InvalidHostAddress),
        };
        if let Some(rest) = text.strip_prefix('[') {
            let (name, rest) = rest.split_once(']').ok_or(InvalidHostAddress)?;
            let rest =
                if rest.is_empty() { rest } else { rest.strip_prefix(':').ok_or(InvalidHostAddress)? };
            if !name.contains(':') {
                return Err(InvalidHostAddress);
            }
            return Self::new(name, port(rest)?);
        }
        match text.split_once(':') {
            Some((name, rest)) if !rest.contains(':') && !rest.is_empty() => Self::new(name, port(rest)?),
            _ => Self::new(text, Self::DEFAULT_PORT),
        }
    }
}

/// Without the port where it is the usual one.
impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name.contains(':'), self.port) {
            (_, Self::DEFAULT_PORT) => f.write_str(&self.name),
            (false, port) => write!(f, "{}:{port}", self.name),
            (true, port) => write!(f, "[{}]:{port}", self.name),
        }
    }
}

impl fmt::Debug for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostAddress({self})")
    }
}

text_form!(HostAddress);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_addresses_with_and_without_port_are_understood() {
        for (text, name, port) in [
            ("pc", "pc", 47989),
            ("pc.lan:48989", "pc.lan", 48989),
            ("192.168.1.5", "192.168.1.5", 47989),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("::1", "::1", 47989),
            ("[::1]", "::1", 47989),
            ("[::1]:47990", "::1", 47990),
        ] {
            let address: HostAddress = text.parse().unwrap();
            assert_eq!((address.name(), address.port()), (name, port), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(254);
        for text in [
            "",
            ":47989",
            "pc:",
            "pc:0",
            "pc:65536",
            "pc:+1",
            "[pc]:1",
            "[::1",
            "[::1]1",
            "fe80::1%eth0",
            "a b",
            "http://pc",
            "pc/",
            &long,
        ] {
            assert_eq!(text.parse::<HostAddress>(), Err(InvalidHostAddress), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_address_reads_back_as_it_was_written(v6: bool, bytes: [u16; 8], name in "[a-z0-9.-]{1,40}", port in 1u16..) {
            let name = if v6 { Ipv6Addr::from(bytes).to_string() } else { name };
            let address = HostAddress::new(&name, port).unwrap();
            prop_assert_eq!(address.to_string().parse::<HostAddress>(), Ok(address));
        }
    }
}
