//! What one picture of 50 kB costs for all of its viewers, but for the network: waking their tasks, and making their packets.
//!
//! `cargo bench -p moonlight-mux-benches --bench fanout`

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use moonlight_mux::bench_support::FanOut;
use moonlight_mux::{Broadcaster, FrameNumber, Media, VideoCodec, VideoFrame, VideoTimestamp};
use tokio::runtime;
use tokio::task::{JoinSet, yield_now};

/// That of 24 Mbit/s at 60 frames per second.
const FRAME: usize = 50_000;
const VIEWERS: [usize; 4] = [1, 10, 50, 200];

fn frame(number: u64) -> VideoFrame {
    VideoFrame {
        number: FrameNumber(number),
        timestamp: VideoTimestamp(number * 1500),
        keyframe: number == 0,
        host_latency: None,
        data: Bytes::from_static(&[0x61; FRAME]),
    }
}

/// From the source to each viewer, who is a task of one thread and waits for it.
fn tasks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tasks");
    for viewers in VIEWERS {
        let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
        let broadcaster = Broadcaster::new();
        let taken = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..viewers {
            let subscription = broadcaster.subscribe();
            subscription.start();
            let taken = taken.clone();
            let watching = async move {
                while let Some(media) = subscription.recv().await {
                    assert!(matches!(media, Media::Video(_)), "nobody is behind: {media:?}");
                    taken.fetch_add(1, Relaxed);
                }
            };
            tasks.spawn_on(watching, runtime.handle());
        }
        let mut number = 0;
        group.throughput(Throughput::Elements(viewers as u64));
        group.bench_function(BenchmarkId::from_parameter(viewers), |bencher| {
            bencher.iter(|| {
                taken.store(0, Relaxed);
                broadcaster.publish_video(frame(number));
                number += 1;
                runtime.block_on(async {
                    while taken.load(Relaxed) < viewers {
                        yield_now().await;
                    }
                });
            });
        });
    }
    group.finish();
}

/// Headers and AES-GCM of the packets that all share, viewer by viewer, after they were made once.
fn packets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packets");
    for viewers in VIEWERS {
        let first = FanOut::new(VideoCodec::H264, FRAME);
        let mut all: Vec<_> = (0..viewers).map(|_| first.another_viewer()).collect();
        group.throughput(Throughput::Elements(viewers as u64));
        group.bench_function(BenchmarkId::from_parameter(viewers), |bencher| {
            bencher.iter(|| {
                assert_eq!(first.packetise(), 42);
                all.iter_mut().map(FanOut::to_viewer).sum::<usize>()
            });
        });
        assert!(all.iter().all(|viewer| viewer.written() > FRAME), "each viewer got all");
    }
    group.finish();
}

criterion_group!(benches, tasks, packets);
criterion_main!(benches);
