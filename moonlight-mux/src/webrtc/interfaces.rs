//! The addresses of this machine.

use std::io;
use std::net::IpAddr;

use rtc::shared::ifaces;

/// The addresses that viewers are told of a socket bound to `bind`: itself, or when it is unspecified those of its family
/// that the interfaces have now, but for loopback and link-local ones, as the crate has it.
pub(super) fn addresses(bind: IpAddr) -> io::Result<Vec<IpAddr>> {
    if !bind.is_unspecified() {
        return Ok(vec![bind]);
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for ip in ifaces::ifaces()?.into_iter().filter_map(|interface| Some(interface.addr?.ip())) {
        let link_local = match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        let usable = ip.is_ipv4() == bind.is_ipv4() && !ip.is_loopback() && !ip.is_unspecified();
        if usable && !link_local && !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_address_of_one_interface_is_the_only_one() {
        let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(addresses(localhost).expect("no system call"), [localhost]);
        let all = addresses(Ipv4Addr::UNSPECIFIED.into()).expect("interfaces");
        assert!(all.iter().all(|ip| ip.is_ipv4() && !ip.is_loopback() && !ip.is_unspecified()), "{all:?}");
    }
}
