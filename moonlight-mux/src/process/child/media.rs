//! The stream's media, for whoever watches in the server: over a socket of their own.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;

use crate::broadcast::{Media, Subscription};
use crate::media::StreamInfo;
use crate::process::media_frames::MediaFrame;
use crate::streamer::Streamer;

/// Sends media until the stream ends or the server wants no more. A server that is behind loses whole groups of pictures, as
/// any viewer: nobody here waits for it.
pub(super) async fn send(socket: OwnedFd, streamer: Streamer) {
    if let Err(error) = pass(socket, &streamer).await {
        tracing::debug!(%error, "the server takes no more media");
    }
}

async fn pass(socket: OwnedFd, streamer: &Streamer) -> io::Result<()> {
    let socket = unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    let (reader, mut writer) = UnixStream::from_std(socket)?.into_split();
    let media = streamer.subscribe();
    let mut told: Option<Arc<StreamInfo>> = None;
    loop {
        let frame = tokio::select! {
            frame = next(&media) => frame,
            // It sends nothing: the end is all that comes.
            () = ended(&reader) => return Ok(()),
        };
        let Some(frame) = frame else { return Ok(()) };
        let info = streamer.info();
        if told != info
            && let Some(info) = &info
        {
            write(&mut writer, &MediaFrame::Info((**info).clone())).await?;
            told = Some(info.clone());
        }
        write(&mut writer, &frame).await?;
    }
}

async fn next(media: &Subscription) -> Option<MediaFrame> {
    loop {
        match media.recv().await? {
            Media::Video(frame) => return Some(MediaFrame::Video((*frame).clone())),
            Media::Audio(frame) => return Some(MediaFrame::Audio((*frame).clone())),
            // The numbers tell.
            Media::Gap { .. } => {}
        }
    }
}

async fn write(writer: &mut (impl AsyncWriteExt + Unpin), frame: &MediaFrame) -> io::Result<()> {
    // No picture is so large that there is none.
    let Some((head, data)) = frame.encode() else { return Ok(()) };
    writer.write_all(&head).await?;
    writer.write_all(&data).await
}

async fn ended(reader: &OwnedReadHalf) {
    let mut byte = [0];
    loop {
        if reader.readable().await.is_err() {
            return;
        }
        match reader.try_read(&mut byte) {
            Ok(0) => return,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => {}
        }
    }
}
