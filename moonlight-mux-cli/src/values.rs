//! What options and the configuration file say alike, as text.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Where a streamer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In this process.
    InProcess,
    /// In one of its own.
    Process,
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "in-process" => Ok(Self::InProcess),
            "process" if cfg!(unix) => Ok(Self::Process),
            "process" => Err("streamers have no processes of their own on this system"),
            _ => Err("expected process or in-process"),
        }
    }
}

/// How much memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = match text.char_indices().last() {
            Some((at, 'K')) => (&text[..at], 1 << 10),
            Some((at, 'M')) => (&text[..at], 1 << 20),
            Some((at, 'G')) => (&text[..at], 1 << 30),
            _ => (text, 1),
        };
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let bytes = digits.then(|| number.parse::<u64>().ok()?.checked_mul(unit)).flatten();
        bytes.filter(|bytes| *bytes > 0).map(Self).ok_or("expected bytes, as in 512M or 2G")
    }
}

/// UDP ports, as FIRST-LAST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports(pub(crate) RangeInclusive<u16>);

impl FromStr for Ports {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let range = text.split_once('-').and_then(|(first, last)| {
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            (0 < first && first <= last).then_some(first..=last)
        });
        range.map(Self).ok_or("expected FIRST-LAST, as in 40000-40100")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InProcess => "in-process",
            Self::Process => "process",
        })
    }
}

/// An address of this machine alone.
pub(crate) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "expected ADDRESS:PORT, as in 127.0.0.1:8080")?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "other machines could connect to {}, and nobody is asked who they are yet: listen on 127.0.0.1 or [::1], behind \
         a server of yours that asks",
        address.ip()
    ))
}

pub(crate) fn stun_url(url: &str) -> Result<String, String> {
    url_with(&["stun:", "stuns:"], url)
}

pub(crate) fn turn_url(url: &str) -> Result<String, String> {
    url_with(&["turn:", "turns:"], url)
}

fn url_with(schemes: &[&str], url: &str) -> Result<String, String> {
    let host = schemes.iter().find_map(|scheme| url.strip_prefix(scheme));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with("//") => Ok(url.to_owned()),
        _ => Err(format!("expected {}HOST:PORT", schemes[0])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_sizes_and_ports_are_read() {
        for kind in [Kind::InProcess, Kind::Process] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("Process".parse::<Kind>(), Err("expected process or in-process"));
        for (text, bytes) in [("1", 1), ("4096", 4096), ("2K", 2048), ("512M", 512 << 20), ("2G", 2 << 30)] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
        }
        for text in ["", "0", "0M", "M", "-1", "+1", "1.5G", "1T", "99999999999G", "1é"] {
            assert_eq!(text.parse::<Size>(), Err("expected bytes, as in 512M or 2G"), "{text}");
        }
        assert_eq!("40000-40100".parse(), Ok(Ports(40_000..=40_100)));
        assert_eq!("1-1".parse(), Ok(Ports(1..=1)));
        for text in ["", "1", "0-9", "9-8", "1-65536", "a-b", "1-2-3", "-1"] {
            assert_eq!(text.parse::<Ports>(), Err("expected FIRST-LAST, as in 40000-40100"), "{text}");
        }
    }

    #[test]
    fn only_addresses_of_this_machine_alone_are_listened_on() {
        for text in ["127.0.0.1:8080", "127.0.0.9:0", "[::1]:8080"] {
            assert_eq!(loopback(text), Ok(text.parse().unwrap()));
        }
        for text in ["0.0.0.0:8080", "[::]:8080", "192.168.1.2:8080"] {
            let refusal = loopback(text).unwrap_err();
            assert!(refusal.starts_with("other machines could connect to "), "{refusal}");
        }
        for text in ["", "8080", "localhost:8080", "127.0.0.1"] {
            assert_eq!(loopback(text).unwrap_err(), "expected ADDRESS:PORT, as in 127.0.0.1:8080");
        }
    }
}
