//! A test host in a process of its own, whose picture says when each frame was made and sent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use moonlight_mux::{
    AppSelector, Host, HostConfig, HostPicture, Identity, MoonlightConfig, MoonlightSource, Pin, TestHost,
    TestHostConfig,
};
use serde::{Deserialize, Serialize};

use super::child::{Child, Do, obey};
use super::frame::Rate;
use super::{Flow, MeasuredSource, Sent};

/// The argument that makes a program a host.
pub(super) const ROLE: &str = "host";

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Start { rate: Rate, audio: bool, pin: String },
    Flow(Flow),
    Take,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Started(SocketAddr),
    Flows,
    Taken(Vec<Sent>),
}

/// The process of a host. Dropping it kills it.
#[derive(Debug)]
pub struct MeasuredHost {
    child: Child<Order, Answer>,
    source: MoonlightConfig,
    client: Host,
}

impl MeasuredHost {
    /// Starts this program again, which has to call [`run_if_told`](super::program::run_if_told) then. The host shows a
    /// [`MeasuredSource`].
    ///
    /// # Errors
    /// When it cannot be started, does not call back, or cannot be paired with.
    pub async fn start(rate: Rate, audio: bool) -> io::Result<Self> {
        let identity = Identity::generate().map_err(io::Error::other)?;
        let pin = Pin::random().map_err(io::Error::other)?;
        let mut child = Child::start(ROLE).await?;
        let address = match child.ask(Order::Start { rate, audio, pin: pin.digits().to_owned() }).await? {
            Answer::Started(address) => address,
            other => return Err(unexpected(&other)),
        };
        let mut source = MoonlightConfig::new(AppSelector::Title("Desktop".to_owned()));
        (source.width, source.height, source.fps) = (1280, 720, rate.fps);
        source.bitrate_kbps = (rate.mbps * 1000.0) as u32;
        let address = address.to_string().parse().map_err(io::Error::other)?;
        let client = Host::new(HostConfig::new(address, identity));
        client.pair(&pin).await.map_err(io::Error::other)?;
        Ok(Self { child, source, client })
    }

    /// Its app, as the product streams it.
    #[must_use]
    pub fn source(&self) -> MoonlightSource {
        MoonlightSource::new(self.client.clone(), self.source.clone())
    }

    /// As [`MeasuredSource::set_flow`].
    ///
    /// # Errors
    /// When the host is gone.
    pub async fn set_flow(&mut self, flow: Flow) -> io::Result<()> {
        match self.child.ask(Order::Flow(flow)).await? {
            Answer::Flows => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// As [`MeasuredSource::take_sent`].
    ///
    /// # Errors
    /// When the host is gone.
    pub async fn take_sent(&mut self) -> io::Result<Vec<Sent>> {
        match self.child.ask(Order::Take).await? {
            Answer::Taken(sent) => Ok(sent),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &Answer) -> io::Error {
    io::Error::other(format!("the host answered {answer:?}"))
}

/// Makes this process the host, until it is not wanted any more.
pub(super) fn run(address: &str) -> io::Result<()> {
    obey(address, Role::default())
}

#[derive(Default)]
struct Role(Option<(TestHost, MeasuredSource)>);

impl Do for Role {
    type Order = Order;
    type Answer = Answer;

    async fn obey(&mut self, order: Order) -> Result<Answer, Box<dyn std::error::Error>> {
        Ok(match order {
            Order::Start { rate, audio, pin } => {
                let source = MeasuredSource::new(rate, audio);
                let mut config = TestHostConfig::default();
                config.picture = HostPicture::Source(Arc::new(source.clone()));
                let host = TestHost::start(config).await?;
                host.enter_pin(&pin);
                let address = host.http_address();
                self.0 = Some((host, source));
                Answer::Started(address)
            }
            Order::Flow(flow) => {
                self.source()?.set_flow(flow);
                Answer::Flows
            }
            Order::Take => Answer::Taken(self.source()?.take_sent()),
        })
    }
}

impl Role {
    fn source(&self) -> Result<&MeasuredSource, &'static str> {
        self.0.as_ref().map(|(_, source)| source).ok_or("there is no host")
    }
}
