//! The time that the aggregator needs for one event of a viewer, at 1 and at 20 viewers: taken at once by the host, and
//! merged with a thousand others that wait.
//!
//! `cargo bench -p moonlight-mux-benches --bench input`

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use moonlight_mux::bench_support::{Crowd, Doing};

fn input(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("input");
    group.throughput(Throughput::Elements(1));
    for viewers in [1, 20] {
        for (name, doing) in
            [("move", Doing::Move), ("key", Doing::Key), ("click", Doing::Click), ("stick", Doing::Stick)]
        {
            let mut crowd = Crowd::new(viewers);
            let told: usize = (0..1000).map(|_| usize::from(crowd.act(doing)) * crowd.take()).sum();
            assert!(told > 0, "the host is told");
            group.bench_function(BenchmarkId::new(name, viewers), |bencher| {
                bencher.iter(|| (crowd.act(doing), crowd.take()));
            });
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("input that waits");
    group.throughput(Throughput::Elements(WAITING));
    for viewers in [1, 20] {
        let mut crowd = Crowd::new(viewers);
        group.bench_function(BenchmarkId::new("move", viewers), |bencher| {
            bencher.iter(|| {
                let taken = (0..WAITING).filter(|_| crowd.act(Doing::Move)).count();
                assert_eq!(crowd.take(), 1);
                taken
            });
        });
    }
    group.finish();
}

/// Moves that wait at once.
const WAITING: u64 = 1000;

criterion_group!(benches, input);
criterion_main!(benches);
