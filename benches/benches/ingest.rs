//! Bytes per second through decryption, FEC and reassembly, beside AES-128-GCM alone over the same bytes.
//!
//! `cargo bench -p moonlight-mux-benches --bench ingest`

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use moonlight_mux::bench_support::Stream;

fn ingest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ingest");
    let sealed = Stream::new(true, 0);
    assert_eq!(sealed.open(), sealed.datagrams());
    group.throughput(Throughput::Bytes(sealed.bytes()));
    group.bench_function("aes-128-gcm alone", |bencher| bencher.iter(|| sealed.open()));

    for (name, encrypted) in [("clear", false), ("encrypted", true)] {
        for loss in [0, 1, 5] {
            let stream = Stream::new(encrypted, loss);
            let (frames, repaired) = stream.receive();
            assert_eq!((frames, repaired > 0), (Stream::FRAMES, loss > 0));
            group.throughput(Throughput::Bytes(stream.bytes()));
            let id = BenchmarkId::new(name, format!("{loss} % loss"));
            group.bench_with_input(id, &stream, |bencher, stream| bencher.iter(|| stream.receive()));
        }
    }
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
