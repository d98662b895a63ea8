//! Serving until told to stop.

use std::future::{Future, IntoFuture};
use std::io;
use std::time::Duration;

use axum::Router;
use moonlight_mux::Registry;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time;

/// How long requests that are under way may take when everything else has stopped.
const GRACE: Duration = Duration::from_secs(5);

/// Serves `router` on `listener` until `stop` resolves; then stops all of the registry's streamers, whose viewers are
/// told that the server shuts down, and returns when they have.
///
/// For programs that do nothing else: others give the router to their own server. Not cancel safe: streamers go on.
///
/// # Errors
/// When the operating system takes the listening socket away.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    registry: Registry,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopped, has_stopped) = oneshot::channel();
    let shutdown = async move {
        stop.await;
        registry.shutdown().await;
        // Without a receiver the server has ended already.
        let _ = stopped.send(());
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown).into_future();
    tokio::select! {
        result = serving => result,
        () = async {
            if has_stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
            time::sleep(GRACE).await;
        } => {
            tracing::warn!("requests were cut off {GRACE:?} after the server had stopped");
            Ok(())
        }
    }
}
