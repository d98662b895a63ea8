//! Where streamers run, and what they may take: the options.

use std::net::SocketAddr;

use clap::Args;
use moonlight_mux::{Limits, ProcessConfig, WebRtcConfig};
use moonlight_mux_http::Isolation;

use crate::config::{LimitsConfig, Text};
use crate::reachability::UdpPorts;
use crate::values::{Kind, Ports, Size};

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Streamers")]
pub(crate) struct IsolationArgs {
    /// Where each streamer runs: in a process of its own (process), so that one that crashes takes no other with it, or in
    /// this one (in-process). Default: process for serve, in-process for demo.
    #[arg(long, value_name = "WHERE", env = "MOONLIGHT_MUX_ISOLATION")]
    isolation: Option<Kind>,
    /// The most memory for a streamer's process, in bytes or as in 512M: with more it is started again. Linux only. Default:
    /// any.
    #[arg(long, value_name = "SIZE")]
    streamer_memory: Option<Size>,
    /// The most files and sockets for a streamer's process. Default: as many as this one may have.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    streamer_open_files: Option<u64>,
    /// How much a streamer's process stands back for others, 0 to 19. Default: 0.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..=19))]
    streamer_nice: Option<i32>,
}

/// Why the options cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IsolationError {
    #[error(
        "{option} {address} is one port, and each streamer's process needs its own: give --udp-ports FIRST-LAST, which \
         takes the place of the port, or --isolation in-process"
    )]
    OnePort { option: &'static str, address: SocketAddr },
    #[error("{option} is for streamers in processes of their own (--isolation process)")]
    NoProcesses { option: &'static str },
}

impl IsolationArgs {
    /// The same with what a configuration file says where no option did.
    pub(crate) fn or(self, isolation: Option<&Text<Kind>>, limits: &LimitsConfig) -> Self {
        Self {
            isolation: self.isolation.or(isolation.map(|Text(kind)| *kind)),
            streamer_memory: self.streamer_memory.or(limits.memory.as_ref().map(|Text(size)| *size)),
            streamer_open_files: self
                .streamer_open_files
                .or(limits.open_files.map(|files| files.get().into())),
            streamer_nice: self.streamer_nice.or(limits.nice.map(i32::from)),
        }
    }

    /// Whether an option says that streamers run in this process.
    pub(crate) fn is_in_process(&self) -> bool {
        self.isolation == Some(Kind::InProcess)
    }

    /// What they mean, in a program whose default is `default`, for streamers that are reached so.
    pub(crate) fn resolve(
        &self,
        default: Kind,
        webrtc: &WebRtcConfig,
        ports: &UdpPorts,
    ) -> Result<Isolation, IsolationError> {
        // Where there are no such processes, nobody means them by saying nothing.
        let default = if cfg!(unix) { default } else { Kind::InProcess };
        match self.isolation.unwrap_or(default) {
            Kind::InProcess => self.in_process(ports),
            Kind::Process => self.process(webrtc, ports),
        }
    }

    fn in_process(&self, ports: &UdpPorts) -> Result<Isolation, IsolationError> {
        let given = [
            ("--udp-ports", ports.is_asked()),
            ("--streamer-memory", self.streamer_memory.is_some()),
            ("--streamer-open-files", self.streamer_open_files.is_some()),
            ("--streamer-nice", self.streamer_nice.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(IsolationError::NoProcesses { option }),
            None => Ok(Isolation::InProcess),
        }
    }

    #[cfg(unix)]
    fn process(&self, webrtc: &WebRtcConfig, ports: &UdpPorts) -> Result<Isolation, IsolationError> {
        let addresses = [("--udp", Some(webrtc.bind)), ("--tcp", webrtc.tcp)];
        let fixed = addresses.into_iter().find_map(|(option, address)| {
            let address = address.filter(|address| address.port() != 0 && ports.get().is_none())?;
            Some(IsolationError::OnePort { option, address })
        });
        if let Some(error) = fixed {
            return Err(error);
        }
        let mut limits = Limits::default();
        limits.memory = self.streamer_memory.map(|Size(bytes)| bytes);
        limits.open_files = self.streamer_open_files;
        limits.nice = self.streamer_nice.unwrap_or_default();
        let mut process = ProcessConfig::default();
        process.webrtc = webrtc.clone();
        process.udp_ports = ports.get().map(|Ports(range)| range.clone());
        process.limits = limits;
        // Its environment has what the user asked for.
        process.log = std::env::var_os("RUST_LOG").is_none().then(|| crate::LOG.to_owned());
        Ok(Isolation::Process(Box::new(process)))
    }

    #[cfg(not(unix))]
    fn process(&self, _: &WebRtcConfig, ports: &UdpPorts) -> Result<Isolation, IsolationError> {
        self.in_process(ports)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        isolation: IsolationArgs,
    }

    fn args(args: &[&str]) -> IsolationArgs {
        Cli::try_parse_from([&["moonlight-mux"], args].concat()).expect("arguments").isolation
    }

    fn webrtc(udp: &str, tcp: Option<&str>) -> WebRtcConfig {
        let mut config = WebRtcConfig::default();
        config.bind = udp.parse().expect("an address");
        config.tcp = tcp.map(|tcp| tcp.parse().expect("an address"));
        config
    }

    #[cfg(unix)]
    #[test]
    fn a_process_has_what_the_options_say() {
        let args = args(&["--streamer-memory=1G", "--streamer-open-files=99", "--streamer-nice=5"]);
        let reach = webrtc("0.0.0.0:4000", Some("0.0.0.0:443"));
        let isolation = args.resolve(Kind::Process, &reach, &UdpPorts::asked(Ports(4..=5)));
        let Ok(Isolation::Process(process)) = isolation else { panic!("{isolation:?}") };
        let Limits { memory, open_files, nice, .. } = process.limits;
        assert_eq!((memory, open_files, nice), (Some(1 << 30), Some(99), 5));
        assert_eq!((process.webrtc.tcp, process.udp_ports), (reach.tcp, Some(4..=5)));
    }

    #[test]
    fn the_option_comes_before_the_default() {
        let reach = webrtc("127.0.0.1:0", None);
        for (given, default, process) in [
            (&[][..], Kind::InProcess, false),
            (&[], Kind::Process, cfg!(unix)),
            (&["--isolation=in-process"], Kind::Process, false),
        ] {
            let isolation =
                args(given).resolve(default, &reach, &UdpPorts::default()).expect("it makes sense");
            assert_eq!(!matches!(isolation, Isolation::InProcess), process, "{given:?}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let reach = webrtc("127.0.0.1:0", None);
        for option in ["--streamer-memory=1G", "--streamer-open-files=9", "--streamer-nice=0"] {
            let error =
                args(&[option]).resolve(Kind::InProcess, &reach, &UdpPorts::default()).expect_err(option);
            assert!(option.starts_with(error.to_string().split(' ').next().expect("a word")), "{error}");
        }
        let error = args(&[]).resolve(Kind::InProcess, &reach, &UdpPorts::asked(Ports(1..=2)));
        assert_eq!(error.expect_err("no"), IsolationError::NoProcesses { option: "--udp-ports" });
    }

    #[cfg(unix)]
    #[test]
    fn one_port_for_all_processes_is_refused() {
        for (reach, option) in [
            (webrtc("0.0.0.0:4000", None), "--udp 0.0.0.0:4000 is one port"),
            (webrtc("0.0.0.0:0", Some("0.0.0.0:443")), "--tcp 0.0.0.0:443 is one port"),
        ] {
            let error =
                args(&[]).resolve(Kind::Process, &reach, &UdpPorts::default()).expect_err(option).to_string();
            assert!(error.starts_with(option), "{error}");
            args(&[]).resolve(Kind::Process, &reach, &UdpPorts::asked(Ports(1..=2))).expect(option);
            args(&[]).resolve(Kind::InProcess, &reach, &UdpPorts::default()).expect(option);
        }
    }
}
