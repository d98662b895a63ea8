//! Waking a host that sleeps (Wake-on-LAN).
//!
//! Source: protocol document, session 3.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rtc::shared::ifaces::{self, NextHop};
use tokio::net::{UdpSocket, lookup_host};

use super::{HostId, Hosts, HostsError};
use crate::gamestream::address::HostAddress;

impl Hosts {
    /// Sends what wakes a sleeping machine, over IPv4: to the host's addresses and to each network that this machine is in.
    /// Nobody answers: ask the host after a while. Its hardware address is known from the last time that
    /// [`info`](Self::info) was asked of it as an identity that it is paired with. Cancel safe.
    ///
    /// # Errors
    /// When there is no such host, it has not told its hardware address, or nothing could be sent.
    pub async fn wake(&self, id: HostId) -> Result<(), HostsError> {
        let (address, mac, local) = {
            let book = self.book();
            let entry = book.hosts.get(&id).ok_or(HostsError::Unknown { id })?;
            (entry.address.clone(), entry.mac, entry.options.local_address)
        };
        let packet = mac.ok_or(HostsError::NoHardwareAddress { id })?.magic_packet();
        let mut addresses: Vec<IpAddr> = match lookup_host((address.name(), address.port())).await {
            Ok(found) => found.map(|address| address.ip()).collect(),
            Err(_) => Vec::new(),
        };
        addresses.extend(broadcast_addresses());
        send(&packet, local, &targets(&address, &addresses)).await.map_err(HostsError::NotWoken)
    }
}

/// Where machines may listen for it: the ports that the host's streams use, and those that are used for nothing else.
fn targets(host: &HostAddress, addresses: &[IpAddr]) -> Vec<SocketAddr> {
    let streams = [9, 10, 11, 13, 21].map(|offset| host.port().checked_add(offset));
    let ports: Vec<u16> = [Some(9), Some(47009)].into_iter().chain(streams).flatten().collect();
    let at = |&address: &IpAddr| ports.iter().map(move |&port| SocketAddr::new(address, port));
    addresses.iter().filter(|address| address.is_ipv4()).flat_map(at).collect()
}

fn broadcast_addresses() -> Vec<IpAddr> {
    let hops = ifaces::ifaces().unwrap_or_default().into_iter().filter_map(|interface| interface.hop);
    let networks = hops.filter_map(|hop| match hop {
        NextHop::Broadcast(address) => Some(address.ip()),
        _ => None,
    });
    networks.chain([Ipv4Addr::BROADCAST.into()]).collect()
}

/// Fails when no datagram at all could be sent.
async fn send(packet: &[u8], local: Option<IpAddr>, targets: &[SocketAddr]) -> io::Result<()> {
    let local = local.filter(IpAddr::is_ipv4).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.set_broadcast(true)?;
    let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
    for target in targets {
        match socket.send_to(packet, target).await {
            Ok(_) => result = Ok(()),
            Err(error) if result.is_err() => result = Err(error),
            Err(_) => {}
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_that_takes_it_is_enough() {
        let listener = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let targets = ["[::1]:9".parse().unwrap(), listener.local_addr().unwrap()];
        send(b"wake up", Some(Ipv4Addr::LOCALHOST.into()), &targets).await.unwrap();
        let mut bytes = [0; 16];
        let (length, _) = listener.recv_from(&mut bytes).await.unwrap();
        assert_eq!(&bytes[..length], b"wake up");

        let nothing = send(b"wake up", None, &[]).await.unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn the_ports_follow_from_the_hosts_own() {
        let host = "pc:48989".parse().unwrap();
        let addresses = ["192.0.2.1".parse().unwrap(), "::1".parse().unwrap()];
        let ports: Vec<_> = targets(&host, &addresses).iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [9, 47009, 48998, 48999, 49000, 49002, 49010]);
    }

    #[tokio::test]
    async fn a_host_that_never_told_its_hardware_address_cannot_be_woken() {
        let hosts = Hosts::in_memory();
        let id = HostId(0);
        assert!(matches!(hosts.wake(id).await, Err(HostsError::Unknown { .. })));
        hosts.declare(id, "127.0.0.1".parse().unwrap(), Default::default()).unwrap();
        assert!(matches!(hosts.wake(id).await, Err(HostsError::NoHardwareAddress { .. })));
    }
}
