//! How browsers reach this machine: the options, and a warning when they hardly can.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, FromArgMatches, value_parser};
use moonlight_mux::{IceServer, TurnSecret, WebRtc, WebRtcConfig};

use crate::config::{ReachabilityConfig, Text, TurnConfig, TurnLogin};
use crate::secret::{self, SecretFileError};
use crate::values::{Ports, stun_url, turn_url};

/// The ways by which pictures reach browsers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reachability")]
pub(crate) struct Reachability {
    /// The UDP port for the pictures of all viewers; port 0 for a free one. Default: a free port at the address of --listen.
    #[arg(long, value_name = "ADDRESS:PORT", env = "MOONLIGHT_MUX_UDP")]
    udp: Option<SocketAddr>,
    #[command(flatten)]
    udp_ports: UdpPorts,
    /// A TCP port for viewers whose networks let no UDP through. Default: none.
    #[arg(long, value_name = "ADDRESS:PORT", env = "MOONLIGHT_MUX_TCP")]
    tcp: Option<SocketAddr>,
    /// An address at which browsers reach this machine from outside: that of the router, or of the container's host, which
    /// pass the ports on under the same numbers. May be given several times.
    #[arg(long, value_name = "IP", env = "MOONLIGHT_MUX_PUBLIC_ADDRESS", value_delimiter = ',')]
    public_address: Vec<IpAddr>,
    /// A STUN server that browsers are told to use, as stun:HOST:PORT. May be given several times.
    #[arg(long, value_name = "URL", value_parser = stun_url)]
    stun: Vec<String>,
    /// A TURN server that browsers are told to use, as turn:HOST:PORT, with one way to log in. May be given several times,
    /// for the addresses of one server.
    #[arg(long, value_name = "URL", value_parser = turn_url)]
    turn: Vec<String>,
    /// The file with the secret that the TURN server shares with this one (coturn's static-auth-secret): each viewer gets
    /// credentials that are good for a day.
    #[arg(long, value_name = "FILE", requires = "turn", conflicts_with = "turn_user")]
    turn_secret_file: Option<PathBuf>,
    /// The user name at the TURN server, the same for all viewers.
    #[arg(long, value_name = "NAME", requires = "turn", requires = "turn_password_file")]
    turn_user: Option<String>,
    /// The file with that user's password.
    #[arg(long, value_name = "FILE", requires = "turn_user")]
    turn_password_file: Option<PathBuf>,
}

/// From which each streamer's process gets its port: `--udp-ports`, its variable, or the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct UdpPorts {
    ports: Option<Ports>,
    /// The environment may be meant for other calls.
    is_environment: bool,
}

impl UdpPorts {
    #[cfg(test)]
    pub(crate) fn asked(ports: Ports) -> Self {
        Self { ports: Some(ports), is_environment: false }
    }

    pub(crate) fn get(&self) -> Option<&Ports> {
        self.ports.as_ref()
    }

    /// Whether they are meant for this very call.
    pub(crate) fn is_asked(&self) -> bool {
        self.ports.is_some() && !self.is_environment
    }
}

impl FromArgMatches for UdpPorts {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut this = Self::default();
        this.update_from_arg_matches(matches)?;
        Ok(this)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.ports = matches.get_one(UDP_PORTS).cloned();
        self.is_environment = matches.value_source(UDP_PORTS) == Some(ValueSource::EnvVariable);
        Ok(())
    }
}

/// As `derive` would, which does not tell an option from a variable.
impl Args for UdpPorts {
    fn augment_args(command: clap::Command) -> clap::Command {
        let help = "UDP ports for streamers in processes of their own, one for each, at the address of --udp; where --tcp \
                    is given, the same numbers there. Default: free ones";
        let ports =
            Arg::new(UDP_PORTS).long("udp-ports").value_name("FIRST-LAST").env("MOONLIGHT_MUX_UDP_PORTS");
        command.arg(ports.value_parser(value_parser!(Ports)).help(help))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

const UDP_PORTS: &str = "udp_ports";

/// Why the options cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReachabilityError {
    #[error("--turn needs --turn-secret-file, or --turn-user with --turn-password-file")]
    TurnWithoutLogin,
    #[error(transparent)]
    Secret(#[from] SecretFileError),
}

impl Reachability {
    /// The same with what a configuration file says where no option did. A TURN server's login goes with its address.
    pub(crate) fn or(self, file: &ReachabilityConfig) -> Self {
        let mut this = self;
        this.udp = this.udp.or(file.udp);
        if let (None, Some(Text(ports))) = (this.udp_ports.get(), &file.udp_ports) {
            this.udp_ports = UdpPorts { ports: Some(ports.clone()), is_environment: false };
        }
        this.tcp = this.tcp.or(file.tcp);
        if this.public_address.is_empty() {
            this.public_address.clone_from(&file.public_addresses);
        }
        if this.stun.is_empty() {
            this.stun = file.stun.iter().map(|Text(url)| url.0.clone()).collect();
        }
        if let (true, Some(TurnConfig { urls, login })) = (this.turn.is_empty(), &file.turn) {
            this.turn.clone_from(urls);
            match login {
                TurnLogin::SharedSecret(file) => this.turn_secret_file = Some(file.clone()),
                TurnLogin::User { name, password_file } => {
                    this.turn_user = Some(name.clone());
                    this.turn_password_file = Some(password_file.clone());
                }
            }
        }
        this
    }

    /// What they mean for a server that is reached at `listen`.
    pub(crate) fn config(&self, listen: IpAddr) -> Result<WebRtcConfig, ReachabilityError> {
        let mut config = WebRtcConfig::default();
        config.bind = self.udp.unwrap_or(SocketAddr::new(listen, 0));
        config.tcp = self.tcp;
        config.public_addresses.clone_from(&self.public_address);
        if !self.stun.is_empty() {
            config.ice_servers.push(IceServer { urls: self.stun.clone(), ..IceServer::default() });
        }
        let urls = self.turn.clone();
        match (&self.turn_secret_file, &self.turn_user, &self.turn_password_file) {
            (Some(file), ..) => {
                config.turn_secrets.push(TurnSecret::new(urls, secret::read(file)?.as_bytes()))
            }
            (None, Some(user), Some(file)) => config.ice_servers.push(IceServer {
                urls,
                username: Some(user.clone()),
                credential: Some(secret::read(file)?),
            }),
            _ if urls.is_empty() => {}
            _ => return Err(ReachabilityError::TurnWithoutLogin),
        }
        Ok(config)
    }

    /// From which each streamer's process gets its port.
    pub(crate) fn ports(&self) -> &UdpPorts {
        &self.udp_ports
    }

    /// The same with these.
    pub(crate) fn with_ports(self, udp_ports: UdpPorts) -> Self {
        Self { udp_ports, ..self }
    }

    /// What to say when viewers from elsewhere would see black.
    pub(crate) fn warning(&self, rtc: &WebRtc, processes: bool) -> Option<String> {
        // Without the interfaces there is nothing to say about them.
        let addresses = rtc.host_addresses().ok()?;
        self.concern(rtc.local_addr().ip(), &addresses, in_container(), processes)
    }

    /// TCP does not help: its candidates have the same addresses.
    fn concern(
        &self,
        bind: IpAddr,
        addresses: &[IpAddr],
        in_container: bool,
        processes: bool,
    ) -> Option<String> {
        let helped = !self.public_address.is_empty() || !self.turn.is_empty();
        if helped || !in_container || !bind.is_unspecified() || !addresses.iter().all(is_private) {
            return None;
        }
        let addresses = match addresses {
            [] => "no address that leads out of it".to_owned(),
            _ => {
                let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
                format!("private addresses only ({})", addresses.join(", "))
            }
        };
        let publish = match (processes, self.udp_ports.get()) {
            (false, _) => "Publish the UDP port under the same number",
            (true, Some(_)) => "Publish the ports of --udp-ports under the same numbers",
            (true, None) => "Give --udp-ports FIRST-LAST, publish these ports under the same numbers",
        };
        Some(format!(
            "This seems to be a container with {addresses}: browsers outside of it get the page, but a black picture.\n\
             {publish} and give --public-address with an address of the container's host, \
             or share its network (--network host), or give a TURN server (--turn)."
        ))
    }
}

/// Addresses that mean something else, or nothing, outside of a network (RFC 1918, RFC 4193).
fn is_private(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Docker and Podman leave a file; Kubernetes sets a variable.
fn in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists())
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        reachability: Reachability,
    }

    fn parse(args: &[&str]) -> Result<Reachability, clap::Error> {
        Cli::try_parse_from([&["moonlight-mux"], args].concat()).map(|cli| cli.reachability)
    }

    fn config(args: &[&str]) -> Result<WebRtcConfig, ReachabilityError> {
        parse(args).expect("arguments").config(Ipv4Addr::LOCALHOST.into())
    }

    /// A file that is removed with its owner.
    struct File(PathBuf);

    impl File {
        fn new(name: &str, content: &str) -> Self {
            let path = std::env::temp_dir().join(format!("moonlight-mux-{}-{name}", std::process::id()));
            fs::write(&path, content).expect("a temporary file");
            Self(path)
        }

        fn path(&self) -> &str {
            self.0.to_str().expect("UTF-8")
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn without_options_it_is_a_free_udp_port_where_the_pages_are() {
        let config = config(&[]).expect("a configuration");
        assert_eq!(config.bind, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        assert!(config.tcp.is_none() && config.public_addresses.is_empty());
        assert!(config.ice_servers.is_empty() && config.turn_secrets.is_empty());
    }

    #[test]
    fn options_become_a_configuration() {
        let password = File::new("password", "pass word\n");
        let args = [
            "--udp=0.0.0.0:4000",
            "--tcp=0.0.0.0:443",
            "--public-address=203.0.113.9",
            "--public-address=2001:db8::9",
            "--stun=stun:stun.example:3478",
            "--turn=turn:turn.example:3478",
            "--turn=turns:turn.example:443?transport=tcp",
            "--turn-user=me",
            "--turn-password-file",
            password.path(),
        ];
        let config = config(&args).expect("a configuration");
        assert_eq!(config.bind.to_string(), "0.0.0.0:4000");
        assert_eq!(config.tcp.expect("TCP").to_string(), "0.0.0.0:443");
        let addresses: Vec<_> = config.public_addresses.iter().map(IpAddr::to_string).collect();
        assert_eq!(addresses, ["203.0.113.9", "2001:db8::9"]);
        let [stun, turn] = &config.ice_servers[..] else { panic!("{config:?}") };
        assert_eq!(stun.urls, ["stun:stun.example:3478"]);
        assert_eq!(turn.urls, ["turn:turn.example:3478", "turns:turn.example:443?transport=tcp"]);
        assert_eq!((turn.username.as_deref(), turn.credential.as_deref()), (Some("me"), Some("pass word")));
    }

    #[test]
    fn options_take_the_place_of_what_a_file_says() {
        let file = ReachabilityConfig {
            udp: "0.0.0.0:1".parse().ok(),
            udp_ports: Some(Text("11-12".parse().expect("a range"))),
            tcp: "0.0.0.0:2".parse().ok(),
            public_addresses: vec![Ipv4Addr::new(203, 0, 113, 1).into()],
            stun: vec![Text("stun:file".parse().expect("a URL"))],
            turn: Some(TurnConfig {
                urls: vec!["turn:file".to_owned()],
                login: TurnLogin::User { name: "file".to_owned(), password_file: "file".into() },
            }),
        };
        let with = |args: &[&str]| format!("{:?}", parse(args).expect("arguments").or(&file));
        let plain = with(&[]);
        for value in
            ["0.0.0.0:1", "11..=12", "0.0.0.0:2", "203.0.113.1", "stun:file", "turn:file", "Some(\"file\")"]
        {
            assert!(plain.contains(value), "{value}: {plain}");
        }
        for (args, taken, replaced) in [
            (&["--udp=0.0.0.0:7"][..], "0.0.0.0:7", "0.0.0.0:1"),
            (&["--udp-ports=7-8"], "7..=8", "11..=12"),
            (&["--tcp=0.0.0.0:7"], "0.0.0.0:7", "0.0.0.0:2"),
            (&["--public-address=203.0.113.7"], "203.0.113.7", "203.0.113.1"),
            (&["--stun=stun:mine"], "stun:mine", "stun:file"),
            (&["--turn=turn:mine", "--turn-secret-file=mine"], "turn:mine", "turn:file"),
            (&["--turn=turn:mine", "--turn-secret-file=mine"], "turn_user: None", "Some(\"file\")"),
        ] {
            let all = with(args);
            assert!(all.contains(taken) && !all.contains(replaced), "{args:?}: {all}");
        }
    }

    #[test]
    fn a_secret_file_makes_time_limited_credentials() {
        let secret = File::new("secret", "north\r\n");
        let args = ["--turn=turn:turn.example:3478", "--turn-secret-file", secret.path()];
        let config = config(&args).expect("a configuration");
        assert!(config.ice_servers.is_empty());
        let [turn] = &config.turn_secrets[..] else { panic!("{config:?}") };
        assert_eq!(
            (&turn.urls[..], turn.ttl),
            (&["turn:turn.example:3478".to_owned()][..], Duration::from_secs(86_400))
        );
    }

    #[test]
    fn what_cannot_work_is_said_in_words() {
        let empty = File::new("empty", "\n");
        let error = config(&["--turn=turn:turn.example:3478"]).expect_err("no login");
        assert_eq!(
            error.to_string(),
            "--turn needs --turn-secret-file, or --turn-user with --turn-password-file"
        );
        let error = config(&["--turn=turn:a", "--turn-secret-file", empty.path()]).expect_err("no secret");
        assert!(error.to_string().ends_with("is empty: it must hold the secret, on one line"), "{error}");
        let error = config(&["--turn=turn:a", "--turn-secret-file=/no/such/file"]).expect_err("no file");
        assert_eq!(error.to_string(), "the file /no/such/file cannot be read");
        for (args, expected) in [
            (&["--stun=stun.example"][..], "expected stun:HOST:PORT"),
            (&["--turn=turn://turn.example"], "expected turn:HOST:PORT"),
            (&["--public-address=home.example"], "invalid IP address syntax"),
            (&["--turn-secret-file=secret"], "--turn <URL>"),
            (&["--turn=turn:a", "--turn-user=me"], "--turn-password-file <FILE>"),
            (
                &["--turn=turn:a", "--turn-secret-file=a", "--turn-user=me", "--turn-password-file=b"],
                "cannot be used with",
            ),
        ] {
            let error = parse(args).expect_err("no use").to_string();
            assert!(error.contains(expected), "{args:?}: {error}");
        }
    }

    #[test]
    fn a_container_that_nobody_reaches_is_warned_of() {
        let any: IpAddr = Ipv4Addr::UNSPECIFIED.into();
        let docker: IpAddr = Ipv4Addr::new(172, 17, 0, 2).into();
        let public: IpAddr = Ipv4Addr::new(203, 0, 113, 9).into();
        let plain = parse(&["--tcp=0.0.0.0:443"]).expect("arguments");
        let warning = plain.concern(any, &[docker], true, false).expect("a warning");
        assert!(warning.contains("private addresses only (172.17.0.2)"), "{warning}");
        assert!(warning.contains("--public-address") && warning.contains("--turn"), "{warning}");
        assert!(
            plain.concern(any, &[], true, false).expect("a warning").contains("no address that leads out")
        );

        assert_eq!(plain.concern(any, &[docker], false, false), None, "a machine in a home network");
        assert_eq!(plain.concern(any, &[docker, public], true, false), None);
        assert_eq!(plain.concern(docker, &[docker], true, false), None, "somebody chose this address");
        for (args, says) in
            [(&[][..], "Give --udp-ports FIRST-LAST"), (&["--udp-ports=4-5"], "ports of --udp-ports")]
        {
            let warning = parse(args).expect("arguments").concern(any, &[docker], true, true);
            assert!(warning.expect("a warning").contains(says), "{args:?}");
        }
        for args in ["--public-address=203.0.113.9", "--turn=turn:turn.example"] {
            assert_eq!(
                parse(&[args]).expect("arguments").concern(any, &[docker], true, false),
                None,
                "{args}"
            );
        }
    }
}
