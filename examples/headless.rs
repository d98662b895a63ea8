//! Takes part in a stream without a browser, as recording, analysis and agents do:
//!
//! `cargo run --release -p moonlight-mux-examples --example headless`

#![allow(clippy::print_stdout, reason = "it speaks to a person")]

use std::error::Error;

use moonlight_mux::{ExitPolicy, Media, Streamer, StreamerConfig, TestPicture, TestPictureConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pictures = watch(120).await?;
    println!("{pictures} pictures");
    Ok(())
}

/// Follows a stream until so many pictures have come.
async fn watch(wanted: usize) -> Result<usize, Box<dyn Error>> {
    let source = TestPicture::new(TestPictureConfig::default())?;
    let streamer = Streamer::start("headless".parse()?, source, StreamerConfig::default());
    streamer.wait_streaming().await?;

    let subscription = streamer.subscribe();
    let mut pictures = 0;
    while pictures < wanted {
        match subscription.recv().await {
            // The first one is a keyframe, and each can be decoded after those before it.
            Some(Media::Video(frame)) => {
                pictures += 1;
                println!("frame {}: {} bytes{}", frame.number.0, frame.data.len(), key(frame.keyframe));
            }
            Some(Media::Audio(_)) => {}
            // Whoever is slower than the stream misses pictures, and nobody else does.
            Some(Media::Gap { lost }) => println!("{lost} pictures missed"),
            None => break,
        }
    }
    streamer.shutdown(ExitPolicy::LeaveRunning).await;
    Ok(pictures)
}

fn key(keyframe: bool) -> &'static str {
    if keyframe { ", a keyframe" } else { "" }
}

#[tokio::test]
async fn it_sees_as_many_pictures_as_it_wants() {
    assert_eq!(watch(3).await.unwrap(), 3);
}
