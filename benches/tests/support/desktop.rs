//! A desktop that takes input, without a host: a test sees what it is told.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use moonlight_mux::{HostFeedback, HostInput, InputFeatures, Inputs, SourceIo};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

/// The test's end.
#[derive(Debug)]
pub(crate) struct Desktop {
    inputs: mpsc::Receiver<HostInput>,
    pub(crate) feedback: mpsc::Sender<HostFeedback>,
}

/// The source's end.
pub(crate) struct Port {
    /// Room for [`HELD`]: a test that takes nothing is a host that takes no more.
    inputs: mpsc::Sender<HostInput>,
    feedback: Mutex<mpsc::Receiver<HostFeedback>>,
}

/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);
const HELD: usize = 16;

pub(crate) fn desktop() -> (Port, Desktop) {
    let (inputs, taken) = mpsc::channel(HELD);
    let (feedback, wanted) = mpsc::channel(HELD);
    (Port { inputs, feedback: Mutex::new(wanted) }, Desktop { inputs: taken, feedback })
}

impl Desktop {
    /// What it is told next.
    pub(crate) async fn next(&mut self) -> HostInput {
        let input = timeout(PATIENCE, self.inputs.recv()).await;
        input.expect("nothing comes").expect("the source is there")
    }

    /// What it is told, to the first that is so; that one too.
    pub(crate) async fn until(&mut self, mut last: impl FnMut(&HostInput) -> bool) -> Vec<HostInput> {
        let mut inputs = Vec::new();
        loop {
            let input = self.next().await;
            inputs.push(input);
            if last(&input) {
                return inputs;
            }
        }
    }
}

impl Port {
    pub(crate) fn connect(&self, io: &mut SourceIo) -> Inputs {
        let mut features = InputFeatures::default();
        (features.touch, features.gamepad_sensors) = (true, true);
        io.inputs(features)
    }

    pub(crate) async fn take(&self, mut inputs: Inputs) -> Infallible {
        loop {
            match self.inputs.reserve().await {
                Ok(room) => room.send(inputs.next().await),
                // The test wants no more.
                Err(_) => return pending().await,
            }
        }
    }
}

/// What a test wants of a gamepad next.
pub(crate) async fn feedback(port: Option<&Port>) -> HostFeedback {
    match port {
        Some(port) => match port.feedback.lock().await.recv().await {
            Some(feedback) => feedback,
            None => pending().await,
        },
        None => pending().await,
    }
}
