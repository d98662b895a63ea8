//! What the processor does to send a picture of 50 kB, but for the system calls: split it once, encrypt it for each viewer.
//!
//! `cargo bench -p moonlight-mux-benches --bench egress`

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use moonlight_mux::VideoCodec;
use moonlight_mux::bench_support::{Encryption, FanOut, SealOne};

/// That of 24 Mbit/s at 60 frames per second.
const FRAME: usize = 50_000;
const CODECS: [VideoCodec; 3] = [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1];

fn packetise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packetise");
    group.throughput(Throughput::Bytes(FRAME as u64));
    for codec in CODECS {
        let frame = FanOut::new(codec, FRAME);
        assert_eq!(frame.packetise(), 42, "packets of nearly 1200 bytes");
        group.bench_function(codec.name(), |bencher| bencher.iter(|| frame.packetise()));
    }
    group.finish();
}

/// In packets: the time of one is what a packet costs for one viewer, beside its share of a system call.
fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal");
    group.throughput(Throughput::Elements(1));
    for (name, encryption, tag) in [("gcm", Encryption::Gcm, 16), ("cm and hmac", Encryption::CmHmac, 10)] {
        let mut one = SealOne::new(1200, encryption);
        assert_eq!(one.seal(), 12 + 1200 + tag);
        group.bench_function(BenchmarkId::new("1200 bytes", name), |bencher| bencher.iter(|| one.seal()));
    }
    group.finish();

    let mut group = criterion.benchmark_group("picture for one viewer");
    for codec in CODECS {
        let mut frame = FanOut::new(codec, FRAME);
        let packets = frame.packetise();
        assert_eq!(frame.to_viewer(), 1, "one system call");
        assert!(frame.written() > FRAME + packets * (12 + 16));
        group.throughput(Throughput::Elements(packets as u64));
        group.bench_function(BenchmarkId::from_parameter(codec.name()), |bencher| {
            bencher.iter(|| frame.to_viewer());
        });
    }
    group.finish();
}

criterion_group!(benches, packetise, seal);
criterion_main!(benches);
