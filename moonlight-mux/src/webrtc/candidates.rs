//! By which addresses browsers reach this process: the candidates of our descriptions. Pure.

use std::net::{IpAddr, SocketAddr};

/// How a process is reached.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// The UDP port that all viewers share.
    pub(super) udp_port: u16,
    /// The TCP address that all viewers share; unspecified: that of every candidate.
    pub(super) tcp: Option<SocketAddr>,
    /// Addresses that no interface of this machine has, and that lead here all the same.
    pub(super) public: Vec<IpAddr>,
}

/// The same description with the candidates that lead here.
///
/// The crate names the port of a socket that it believes to be its own: its UDP host candidates get the shared port. Behind
/// each run of them come the public addresses, less preferred, since the way by an interface is the shorter one where there
/// is one; and behind these the same addresses over TCP, less preferred than any UDP. A description that has them stays as
/// it is.
pub(super) fn with_candidates(sdp: &str, reach: &Reach) -> String {
    let mut out = String::with_capacity(sdp.len());
    let mut run = Run::default();
    for line in sdp.lines() {
        match Host::parse(line) {
            Some(host) => {
                let line = host.line(reach.udp_port);
                if !run.addresses.contains(&host.address) {
                    run.addresses.push(host.address);
                }
                push(&mut out, &line);
                run.lines.push(line);
            }
            None if line.starts_with("a=candidate:") => {
                push(&mut out, line);
                run.lines.push(line.to_owned());
            }
            None => {
                std::mem::take(&mut run).finish(reach, &mut out);
                push(&mut out, line);
            }
        }
    }
    run.finish(reach, &mut out);
    out
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push_str("\r\n");
}

/// A UDP host candidate (RFC 8839, 5.1).
struct Host<'a> {
    foundation: &'a str,
    component: &'a str,
    transport: &'a str,
    priority: &'a str,
    address: &'a str,
    rest: Vec<&'a str>,
}

impl<'a> Host<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.strip_prefix("a=candidate:")?.split(' ');
        let (foundation, component, transport) = (fields.next()?, fields.next()?, fields.next()?);
        let (priority, address, _port) = (fields.next()?, fields.next()?, fields.next()?);
        let is_udp_host =
            transport.eq_ignore_ascii_case("udp") && fields.next()? == "typ" && fields.next()? == "host";
        is_udp_host.then(|| Self {
            foundation,
            component,
            transport,
            priority,
            address,
            rest: fields.collect(),
        })
    }

    fn line(&self, port: u16) -> String {
        let Self { foundation, component, transport, priority, address, rest } = self;
        let mut line =
            format!("a=candidate:{foundation} {component} {transport} {priority} {address} {port} typ host");
        for field in rest {
            line.push(' ');
            line.push_str(field);
        }
        line
    }
}

/// Candidate lines that stand together.
#[derive(Default)]
struct Run<'a> {
    /// Of the UDP host candidates.
    addresses: Vec<&'a str>,
    lines: Vec<String>,
}

impl Run<'_> {
    /// Adds the candidates of our own, if there is one of the crate's. They are for component 1: RTCP shares it, although
    /// the crate names a second one.
    fn finish(self, reach: &Reach, out: &mut String) {
        let Self { addresses, lines } = self;
        if addresses.is_empty() {
            return;
        }
        let mut add = |line: String| {
            if !lines.contains(&line) {
                push(out, &line);
            }
        };
        let mut addresses: Vec<_> = addresses.into_iter().map(str::to_owned).collect();
        for (i, public) in reach.public.iter().enumerate() {
            let address = public.to_string();
            if addresses.contains(&address) {
                continue;
            }
            // 65535 is the crate's own.
            let priority = priority(UDP_HOST, 65_534u16.saturating_sub(saturated(i)));
            let (foundation, port) = (PUBLIC_FOUNDATION + i, reach.udp_port);
            add(format!("a=candidate:{foundation} 1 udp {priority} {address} {port} typ host"));
            addresses.push(address);
        }
        let Some(tcp) = reach.tcp else { return };
        let ours = |address: &String| match address.parse::<IpAddr>() {
            // A wildcard of IPv6 takes connections of IPv4 as well.
            _ if tcp.ip().is_unspecified() && tcp.is_ipv6() => true,
            Ok(ip) if tcp.ip().is_unspecified() => ip.is_ipv4(),
            Ok(ip) => ip == tcp.ip() || reach.public.contains(&ip),
            Err(_) => false,
        };
        let mut addresses: Vec<_> = addresses.into_iter().filter(ours).collect();
        let bound = tcp.ip().to_string();
        if !tcp.ip().is_unspecified() && !addresses.contains(&bound) {
            addresses.insert(0, bound);
        }
        for (i, address) in addresses.iter().enumerate() {
            let preference = TCP_PASSIVE_HOST << 13 | 0x1fff_u16.saturating_sub(saturated(i));
            let (foundation, priority, port) =
                (TCP_FOUNDATION + i, priority(TCP_HOST, preference), tcp.port());
            add(format!(
                "a=candidate:{foundation} 1 tcp {priority} {address} {port} typ host tcptype passive"
            ));
        }
    }
}

fn saturated(i: usize) -> u16 {
    u16::try_from(i).unwrap_or(u16::MAX)
}

/// RFC 8445, 5.1.2.1, for component 1.
fn priority(type_preference: u32, local_preference: u16) -> u32 {
    type_preference << 24 | u32::from(local_preference) << 8 | 255
}

/// Type preference of a host candidate (RFC 8445, 5.1.2.2).
const UDP_HOST: u32 = 126;
/// Lower, since UDP is the better way for media (RFC 6544, 4.2), and above what is reflexive over TCP.
const TCP_HOST: u32 = 90;
/// Direction preference of a passive host candidate (RFC 6544, 4.2).
const TCP_PASSIVE_HOST: u16 = 4;
/// Foundations apart from the crate's, which are checksums of ten digits or single ones.
const PUBLIC_FOUNDATION: usize = 4001;
const TCP_FOUNDATION: usize = 6001;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn udp_only(udp_port: u16) -> Reach {
        Reach { udp_port, tcp: None, public: Vec::new() }
    }

    #[test]
    fn only_udp_host_candidates_get_the_shared_port() {
        let sdp = "a=ice-ufrag:Ab+1\r\n\
            a=candidate:1 1 udp 2130706431 127.0.0.1 40001 typ host\r\n\
            a=candidate:1 1 udp 2130706431 127.0.0.1 40001 typ host generation 0\r\n\
            a=candidate:2 1 tcp 2130706431 127.0.0.1 40002 typ host tcptype passive\r\n\
            a=candidate:3 1 udp 1694498815 192.0.2.1 40001 typ srflx raddr 0.0.0.0 rport 40001\r\n";
        let expected = "a=ice-ufrag:Ab+1\r\n\
            a=candidate:1 1 udp 2130706431 127.0.0.1 5000 typ host\r\n\
            a=candidate:1 1 udp 2130706431 127.0.0.1 5000 typ host generation 0\r\n\
            a=candidate:2 1 tcp 2130706431 127.0.0.1 40002 typ host tcptype passive\r\n\
            a=candidate:3 1 udp 1694498815 192.0.2.1 40001 typ srflx raddr 0.0.0.0 rport 40001\r\n";
        assert_eq!(with_candidates(sdp, &udp_only(5000)), expected);
    }

    #[test]
    fn public_addresses_and_tcp_come_behind_the_interfaces_and_before_the_end() {
        let sdp = "a=candidate:1 1 udp 2130706431 10.0.0.2 40001 typ host\r\n\
            a=candidate:7 1 udp 2130706431 10.1.0.2 40002 typ host\r\n\
            a=candidate:7 2 udp 2130706430 10.1.0.2 40002 typ host\r\n\
            a=end-of-candidates\r\n";
        let reach = Reach {
            udp_port: 5000,
            tcp: Some("0.0.0.0:443".parse().expect("an address")),
            public: vec![
                "203.0.113.9".parse().expect("an address"),
                "2001:db8::9".parse().expect("an address"),
            ],
        };
        let expected = "a=candidate:1 1 udp 2130706431 10.0.0.2 5000 typ host\r\n\
            a=candidate:7 1 udp 2130706431 10.1.0.2 5000 typ host\r\n\
            a=candidate:7 2 udp 2130706430 10.1.0.2 5000 typ host\r\n\
            a=candidate:4001 1 udp 2130706175 203.0.113.9 5000 typ host\r\n\
            a=candidate:4002 1 udp 2130705919 2001:db8::9 5000 typ host\r\n\
            a=candidate:6001 1 tcp 1520435199 10.0.0.2 443 typ host tcptype passive\r\n\
            a=candidate:6002 1 tcp 1520434943 10.1.0.2 443 typ host tcptype passive\r\n\
            a=candidate:6003 1 tcp 1520434687 203.0.113.9 443 typ host tcptype passive\r\n\
            a=end-of-candidates\r\n";
        assert_eq!(with_candidates(sdp, &reach), expected);
        assert_eq!(with_candidates(expected, &reach), expected);
    }

    #[test]
    fn a_tcp_address_of_its_own_is_the_one_that_is_named() {
        let sdp = "a=candidate:1 1 udp 2130706431 10.0.0.2 40001 typ host\r\n";
        let reach = Reach { tcp: Some("127.0.0.1:443".parse().expect("an address")), ..udp_only(5000) };
        let expected = "a=candidate:1 1 udp 2130706431 10.0.0.2 5000 typ host\r\n\
            a=candidate:6001 1 tcp 1520435199 127.0.0.1 443 typ host tcptype passive\r\n";
        assert_eq!(with_candidates(sdp, &reach), expected);
    }

    #[test]
    fn a_description_without_candidates_gets_none() {
        let reach = Reach { public: vec![Ipv4Addr::new(203, 0, 113, 9).into()], ..udp_only(5000) };
        let sdp = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n";
        assert_eq!(with_candidates(sdp, &reach), sdp);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(sdp in "(a=candidate:|typ host|udp|[a-z=: 0-9\r\n]){0,200}") {
            let once = with_candidates(&sdp, &udp_only(1));
            prop_assert_eq!(with_candidates(&once, &udp_only(1)), once);
        }
    }
}
