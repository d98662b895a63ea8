//! What every command that serves browsers does alike.

use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;
use moonlight_mux::{
    CreateError, Hosts, InputMode, MoonlightSource, Registry, Streamer, StreamerConfig, StreamerId, WebRtc,
    WebRtcConfig,
};
use moonlight_mux_http::{BindError, Isolation, KeptStreamers, ServerConfig};
use tokio::net::TcpListener;

use crate::config::{Config, LimitsConfig, ListenAddress, Text};
use crate::isolation::IsolationArgs;
use crate::reachability::Reachability;
use crate::values::{Kind, loopback};
use crate::{Exit, Failure};

#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// Where browsers connect: an address of this machine alone, port 0 for a free one. Default: 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS:PORT", env = "MOONLIGHT_MUX_LISTEN", value_parser = loopback)]
    listen: Option<SocketAddr>,
    /// How viewers share keyboard, mouse and the rest: shared, one_at_a_time or view_only. Default: shared.
    #[arg(long, value_name = "MODE", env = "MOONLIGHT_MUX_INPUT_MODE")]
    input_mode: Option<InputMode>,
    #[command(flatten)]
    isolation: IsolationArgs,
    #[command(flatten)]
    reachability: Reachability,
}

impl Listen {
    /// The same with what a configuration file says where no option did.
    pub(crate) fn or(self, file: &Config) -> Self {
        let listen = self.listen.or(file.listen.as_ref().map(|Text(ListenAddress(address))| *address));
        let input_mode = self.input_mode.or(file.input_mode.as_ref().map(|&Text(mode)| mode));
        // Who asks for streamers in this process does not mean the file's ports and limits of processes.
        let in_process = self.isolation.is_in_process();
        let none = LimitsConfig::default();
        let limits = if in_process { &none } else { &file.limits };
        let isolation = self.isolation.or(file.isolation.as_ref(), limits);
        let ports = self.reachability.ports().clone();
        let reachability = self.reachability.or(&file.reachability);
        let reachability = if in_process { reachability.with_ports(ports) } else { reachability };
        Self { listen, input_mode, isolation, reachability }
    }
}

/// A server that is not running yet.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    rtc: WebRtc,
    isolation: Isolation,
    registry: Registry,
    hosts: Option<Hosts>,
    kept: Option<KeptStreamers>,
    input_mode: InputMode,
    stop: Stop,
}

impl Server {
    /// `isolation` is where streamers run unless `listen` says so; `recordings`, whether some run here in any case.
    pub(crate) async fn bind(listen: &Listen, isolation: Kind, recordings: bool) -> Result<Self, Failure> {
        let stop = Stop::new()?;
        let listener =
            moonlight_mux_http::bind(listen.listen.unwrap_or(DEFAULT)).await.map_err(
                |error| match error {
                    BindError::InUse { address } => Failure::new(in_use(address)),
                    error => Failure::from(error),
                },
            )?;
        let address = listener.local_addr()?;
        let config = listen.reachability.config(address.ip());
        let config = config.map_err(|error| Failure::from(error).with(Exit::Arguments))?;
        let isolation = listen.isolation.resolve(isolation, &config, listen.reachability.ports());
        let isolation = isolation.map_err(|error| Failure::from(error).with(Exit::Arguments))?;
        let here = recordings || matches!(isolation, Isolation::InProcess);
        let reached = WebRtc::bind(if here { config } else { at(config.bind.ip()) })?;
        if let Some(warning) =
            listen.reachability.warning(&reached, !matches!(isolation, Isolation::InProcess))
        {
            eprintln!("{warning}");
        }
        // Processes serve their viewers themselves: then nobody has to reach this one.
        let rtc = if here { reached } else { WebRtc::bind(at(Ipv4Addr::LOCALHOST.into()))? };
        let input_mode = listen.input_mode.unwrap_or_default();
        let registry = Registry::new();
        Ok(Self { listener, address, rtc, isolation, registry, hosts: None, kept: None, input_mode, stop })
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// How a streamer behaves that is created here.
    pub(crate) fn streamer_config(&self) -> StreamerConfig {
        let mut config = StreamerConfig::default();
        config.input_mode = self.input_mode;
        config
    }

    /// Creates a streamer where streamers run here.
    pub(crate) fn create(&self, id: StreamerId, source: MoonlightSource) -> Result<Streamer, CreateError> {
        let config = self.streamer_config();
        match &self.isolation {
            #[cfg(unix)]
            Isolation::Process(process) => {
                self.registry.create_process(id, source, config, (**process).clone())
            }
            _ => self.registry.create(id, source, config),
        }
    }

    /// Lets callers create streamers from these hosts.
    pub(crate) fn with_hosts(self, hosts: Hosts) -> Self {
        Self { hosts: Some(hosts), ..self }
    }

    /// Starts these streamers, and keeps those that callers declare persistent.
    pub(crate) fn with_kept(self, kept: Option<KeptStreamers>) -> Self {
        Self { kept, ..self }
    }

    /// Says on standard output where everything is.
    pub(crate) fn announce_all(&self) {
        // Nobody may be reading.
        let _ = writeln!(io::stdout(), "serving at http://{}/", self.address);
    }

    /// Says on standard output where a streamer can be watched.
    pub(crate) fn announce(&self, streamer: &Streamer) {
        let (id, address) = (streamer.id(), self.address);
        // Nobody may be reading.
        let _ = writeln!(io::stdout(), "{id} plays at http://{address}/s/{id}");
    }

    /// Serves until Ctrl-C, SIGTERM, or `failed`.
    pub(crate) async fn run(self, failed: impl Future<Output = ()> + Send + 'static) -> Result<(), Failure> {
        let Self { listener, rtc, isolation, registry, hosts, kept, input_mode, mut stop, .. } = self;
        eprintln!("Press Ctrl-C to stop.");
        let config = ServerConfig { hosts, isolation, kept, input_mode, ..ServerConfig::default() };
        let router = moonlight_mux_http::router(registry.clone(), rtc, config);
        moonlight_mux_http::serve(listener, router, registry, async move {
            tokio::select! {
                () = stop.asked() => {}
                () = failed => {}
            }
        })
        .await?;
        Ok(())
    }
}

/// At a free port.
fn at(ip: IpAddr) -> WebRtcConfig {
    let mut config = WebRtcConfig::default();
    config.bind = SocketAddr::new(ip, 0);
    config
}

const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

fn in_use(address: SocketAddr) -> String {
    // Behind the last port comes 0, which takes a free one.
    let other = SocketAddr::new(address.ip(), address.port().wrapping_add(1));
    format!("port {} is in use: choose another with --listen {other}", address.port())
}

/// Ctrl-C and SIGTERM, heard from when it is made: none that comes early is lost.
#[cfg(unix)]
pub(crate) struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Stop {
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ctrl-C, heard from when it is made.
#[cfg(windows)]
pub(crate) struct Stop(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Stop {
    pub(crate) fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    pub(crate) async fn asked(&mut self) {
        self.0.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_another_one() {
        for (address, sentence) in [
            ("127.0.0.1:8080", "port 8080 is in use: choose another with --listen 127.0.0.1:8081"),
            ("[::1]:65535", "port 65535 is in use: choose another with --listen [::1]:0"),
        ] {
            assert_eq!(in_use(address.parse().unwrap()), sentence);
        }
    }
}
