//! `hosts discover`: hosts that announce themselves on this network.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use mdns_sd::{ServiceDaemon, ServiceEvent};
use moonlight_mux::{HostAddress, HostRecord};
use tokio::time::sleep;

use crate::Failure;

/// Names and addresses of the hosts that answered meanwhile.
pub(crate) async fn discover(time: Duration) -> Result<BTreeMap<String, HostAddress>, Failure> {
    let daemon = ServiceDaemon::new()?;
    let events = daemon.browse(SERVICE)?;
    let mut hosts = BTreeMap::new();
    let mut over = pin!(sleep(time));
    while hosts.len() < MAX_HOSTS {
        let event = tokio::select! {
            () = &mut over => break,
            event = events.recv_async() => event,
        };
        match event {
            Ok(ServiceEvent::ServiceResolved(service)) => {
                let addresses = service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr);
                if let Some(address) = best(addresses, service.port) {
                    hosts.insert(name(&service.fullname), address);
                }
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    // Its thread ends by itself.
    let _ = daemon.shutdown();
    Ok(hosts)
}

pub(crate) fn table(hosts: &BTreeMap<String, HostAddress>, known: &[HostRecord]) -> String {
    if hosts.is_empty() {
        return "No host answered: some announce themselves only when told to. Add one by its address.\n"
            .to_owned();
    }
    let line = |(name, address): (&String, &HostAddress)| {
        let id = known.iter().find(|record| record.address == *address).map(|record| record.id);
        let id = id.map(|id| format!("  host {id}")).unwrap_or_default();
        format!("{name:<24}  {address}{id}\n")
    };
    hosts.iter().map(line).collect()
}

/// What somebody on the network calls himself, fit for a terminal.
fn name(instance: &str) -> String {
    let name = instance.strip_suffix(SERVICE).unwrap_or(instance).trim_end_matches('.');
    name.chars().filter(|c| !c.is_control()).collect()
}

/// IPv4 first: IPv6 addresses of the link alone mean nothing without their interface.
fn best(addresses: impl Iterator<Item = IpAddr>, port: u16) -> Option<HostAddress> {
    let ip = addresses.min_by_key(|ip| (ip.is_ipv6(), *ip))?;
    HostAddress::new(&ip.to_string(), port).ok()
}

/// Its port is the host's HTTP port. Source: protocol document, session 2.
const SERVICE: &str = "_nvstream._tcp.local.";
/// More than a network has; then it is over early.
const MAX_HOSTS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_the_name_in_front_of_the_service_and_no_control_characters() {
        assert_eq!(name("living-room._nvstream._tcp.local."), "living-room");
        assert_eq!(name("a\u{1b}[2Jb\r\n._nvstream._tcp.local."), "a[2Jb");
    }

    #[test]
    fn a_host_is_at_its_ipv4_address_if_it_has_one() {
        let at = |addresses: &[&str]| {
            best(addresses.iter().map(|text| text.parse().unwrap()), 48989).map(|address| address.to_string())
        };
        assert_eq!(at(&["fe80::1", "192.168.1.5"]).unwrap(), "192.168.1.5:48989");
        assert_eq!(at(&["fd00::1"]).unwrap(), "[fd00::1]:48989");
        assert_eq!(at(&[]), None);
    }

    #[test]
    fn nothing_found_is_said() {
        assert!(table(&BTreeMap::new(), &[]).starts_with("No host answered"));
        let hosts = BTreeMap::from([("pc".to_owned(), "192.168.1.5".parse().unwrap())]);
        assert_eq!(table(&hosts, &[]), "pc                        192.168.1.5\n");
    }
}
