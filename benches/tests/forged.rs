//! Datagrams of strangers cost nobody anything. Alone in its process, since it measures the memory of the whole process.

#[path = "support/held.rs"]
mod held;
mod support;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use moonlight_mux::PeerHandle;
use moonlight_mux_benches::viewer::{Viewer, ViewerConfig};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use held::{held, memory, settle};
use support::machine::Machine;
use support::random::Random;
use support::{Pictures, assert_intact, join, serve};

/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);
const SEED: u64 = 24_11;
const VIEWERS: usize = 5;
const SOCKETS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: usize = 40_000;
/// Together less than any receive buffer takes: so many that are not read yet, in bytes of the kernel's, and so many
/// datagrams more of up to 2304.
const UNREAD: u64 = 64_000;
const BURST: usize = 50;
/// 20 bytes for each of 160,000 would be more.
const HEAP_GROWTH: usize = 1_000_000;
const RESIDENT_GROWTH: usize = 8_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_thousand_forged_datagrams_change_nothing() {
    eprintln!("seed {SEED}");
    let mut random = Random::new(SEED);
    let machine = Machine::watch();
    let pictures = Pictures::synthetic(100);
    let check = pictures.check();
    let served = serve(pictures).await;
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        // The point is that all comes, not how soon.
        let patience = Duration::from_secs(10);
        let config = ViewerConfig { check: Some(check.clone()), patience, ..ViewerConfig::default() };
        viewers.push(join(&served.streamer, &served.rtc, config).await);
    }
    // What is kept to be sent again has reached its size.
    until_packets(&viewers, 1500).await;
    let mut forgers = Vec::new();
    for _ in 0..SOCKETS {
        forgers.push(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"));
    }

    let (before, target) = (held(), served.rtc.local_addr());
    let mut sizes = Vec::new();
    let mut datagram = Vec::new();
    for _ in 0..ROUNDS {
        for n in 0..ROUND {
            forge(&mut random, &mut datagram);
            let sent = forgers[random.below(SOCKETS)].send_to(&datagram, target).await;
            assert_eq!(sent.expect("loopback takes it"), datagram.len());
            if n % BURST == 0 {
                until_unread(target, UNREAD).await;
            }
        }
        until_unread(target, 0).await;
        sizes.push(memory());
        eprintln!("{}", memory());
    }
    let (_, dropped) = receive_queue(target);
    eprintln!("{dropped} of {} were dropped by the kernel", ROUNDS * ROUND);
    assert!(dropped < (ROUNDS * ROUND / 10) as u64, "{dropped} were dropped by the kernel");
    settle(before).await;
    let (first, last) = (sizes[0], sizes[ROUNDS - 1]);
    assert!(last.heap < first.heap + HEAP_GROWTH, "{sizes:?}");
    assert!(last.resident < first.resident + RESIDENT_GROWTH, "{sizes:?}");

    let now = viewers.iter().map(|(viewer, _)| viewer.stats().video.packets).max().unwrap_or(0);
    until_packets(&viewers, now + 300).await;
    let kept_up = machine.kept_up();
    for (viewer, handle) in viewers {
        let told = handle.stats();
        let stats = viewer.close().await;
        let video = stats.video;
        assert_intact(&stats);
        assert_eq!(video.verified + video.skipped, video.frames, "{stats:?}");
        if kept_up {
            assert_eq!((video.gaps, video.lost, video.undecodable), (0, 0, 0), "{stats:?}");
            assert_eq!((told.holds, told.pauses), (0, 0), "{told:?}");
        }
    }
}

/// Makes a datagram of random bytes that begins as something which the port is for, or as nothing known.
fn forge(random: &mut Random, datagram: &mut Vec<u8>) {
    datagram.resize(random.below(1400), 0);
    random.fill(datagram);
    let mut head = |bytes: &[u8]| {
        let len = datagram.len().max(bytes.len());
        datagram.resize(len, 0);
        datagram[..bytes.len()].copy_from_slice(bytes);
    };
    let length = random.next().to_be_bytes();
    match random.below(8) {
        // RTP with any SSRC.
        0 => head(&[0x90, 102]),
        // RTCP with any SSRC: reports, BYE, NACK, PLI, and what is not known.
        1 => head(&[0x80 | random.below(32) as u8, 200 + random.below(8) as u8, 0, random.below(90) as u8]),
        // DTLS 1.2 records: ChangeCipherSpec, alert, handshake, data, and what is not known.
        2 => head(&[20 + random.below(44) as u8, 0xfe, 0xfd, 0, 0]),
        // The first fragment of a huge ClientHello, and of many.
        3 => head(&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 1, 0xff, 0xff, 0xff, 0, length[0]]),
        // STUN requests, answers and indications for users that are not here.
        4 => {
            let kind = [0x0001_u16, 0x0101, 0x0111, 0x0011][random.below(4)].to_be_bytes();
            let user: String = (0..4).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
            let mut stun = vec![kind[0], kind[1], 0, 16, 0x21, 0x12, 0xa4, 0x42];
            stun.extend(random.next().to_be_bytes());
            stun.extend(&length[..4]);
            stun.extend([0, 6, 0, 9]);
            stun.extend(user.bytes().chain(*b":abcd\0\0\0"));
            datagram.clear();
            datagram.extend(stun);
        }
        // STUN with lengths that are none.
        5 => head(&[0, 1, length[0], length[1], 0x21, 0x12, 0xa4, 0x42]),
        // ChannelData of TURN.
        6 => head(&[0x40, 0, length[0], length[1]]),
        _ => {}
    }
}

async fn until_packets(viewers: &[(Viewer, PeerHandle)], packets: u64) {
    let watching = viewers.iter().map(async |(viewer, _)| {
        let waited = timeout(PATIENCE, viewer.wait_for(|stats| stats.video.packets >= packets)).await;
        waited.expect("packets come").expect("the viewer stays")
    });
    join_all(watching).await;
}

/// Waits until at most so many bytes wait in a socket's receive buffer.
async fn until_unread(address: SocketAddr, bytes: u64) {
    let read = timeout(PATIENCE, async {
        while receive_queue(address).0 > bytes {
            sleep(Duration::from_millis(1)).await;
        }
    });
    read.await.expect("the socket is read");
}

/// How many bytes wait in a socket's receive buffer, and how many datagrams it had no room for (proc_net_udp(5)).
fn receive_queue(address: SocketAddr) -> (u64, u64) {
    let table = fs::read_to_string("/proc/net/udp").expect("Linux");
    let local = format!("0100007F:{:04X}", address.port());
    let line = table.lines().find(|line| line.split_whitespace().nth(1) == Some(&local));
    let fields: Vec<_> = line.expect("it is bound").split_whitespace().collect();
    let (_, waiting) = fields[4].split_once(':').expect("two queues");
    (u64::from_str_radix(waiting, 16).expect("a number"), fields[fields.len() - 1].parse().expect("a number"))
}
