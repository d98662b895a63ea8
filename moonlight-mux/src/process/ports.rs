//! Ports for processes: each has one that no other process of this program has.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard};

/// A port that is a process's. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Port(u16);

#[derive(Debug)]
struct Taken {
    ports: BTreeSet<u16>,
    /// Which was given last: the one that somebody else has taken in the meantime is not tried first again.
    last: u16,
}

static TAKEN: Mutex<Taken> = Mutex::new(Taken { ports: BTreeSet::new(), last: 0 });

impl Port {
    /// One of `range` that nobody has, at this address, nor over TCP at that other one; `None` when there is none.
    pub(super) fn take(range: &RangeInclusive<u16>, udp: IpAddr, tcp: Option<IpAddr>) -> Option<Self> {
        Self::take_if(range, |port| {
            UdpSocket::bind(SocketAddr::new(udp, port)).is_ok()
                && tcp.is_none_or(|tcp| TcpListener::bind(SocketAddr::new(tcp, port)).is_ok())
        })
    }

    fn take_if(range: &RangeInclusive<u16>, is_free: impl Fn(u16) -> bool) -> Option<Self> {
        let mut taken = taken();
        let last = taken.last;
        let behind = range.clone().filter(|&port| port > last);
        let port = behind
            .chain(range.clone().filter(|&port| port <= last))
            .find(|&port| !taken.ports.contains(&port) && is_free(port))?;
        taken.ports.insert(port);
        taken.last = port;
        Some(Self(port))
    }

    pub(super) fn number(&self) -> u16 {
        self.0
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        taken().ports.remove(&self.0);
    }
}

fn taken() -> MutexGuard<'static, Taken> {
    TAKEN.lock().expect("no holder of this lock panics")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn each_port_is_given_once_and_again_when_it_was_given_back() {
        // Of these no other test takes any.
        let range = 64_000..=64_002;
        let take = || Port::take_if(&range, |_| true);
        let ports: Vec<_> = std::iter::from_fn(take).collect();
        let mut numbers: Vec<_> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [64_000, 64_001, 64_002]);
        drop(ports);
        let first = take().expect("all are free").number();
        let second = take().expect("all are free").number();
        assert_ne!(first, second, "one that was just given back is not the next");
        let others = |port| port != 64_001;
        let two: Vec<_> = std::iter::from_fn(|| Port::take_if(&range, others)).collect();
        assert_eq!(two.len(), 2, "one is somebody else's");
    }

    #[test]
    fn a_port_of_another_program_is_left_out() {
        let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
        let other = UdpSocket::bind((ip, 0)).expect("a free port");
        let port = other.local_addr().expect("bound").port();
        assert!(Port::take(&(port..=port), ip, None).is_none());
        let other = TcpListener::bind((ip, 0)).expect("a free port");
        let port = other.local_addr().expect("bound").port();
        assert!(Port::take(&(port..=port), ip, Some(ip)).is_none());
    }
}
