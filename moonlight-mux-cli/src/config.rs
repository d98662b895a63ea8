//! The configuration file: TOML. Every key may be left out, and one that is not known is an error.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use moonlight_mux::{HostAddress, InputMode, PairingMethod, StreamerId};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use toml::Spanned;

use crate::secret::{self, Secret, SecretFileError};
use crate::values::{Kind, Ports, Size, loopback, stun_url, turn_url};

/// What a configuration file says. Paths are relative to its folder.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) listen: Option<Text<ListenAddress>>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) input_mode: Option<Text<InputMode>>,
    pub(crate) isolation: Option<Text<Kind>>,
    pub(crate) limits: LimitsConfig,
    pub(crate) reachability: ReachabilityConfig,
    pub(crate) recordings: BTreeMap<Text<StreamerId>, PathBuf>,
    hosts: Vec<HostConfig>,
}

/// What a streamer's process may take.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsConfig {
    pub(crate) memory: Option<Text<Size>>,
    pub(crate) open_files: Option<NonZeroU32>,
    pub(crate) nice: Option<Nice>,
}

/// 0 to 19.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u8")]
pub(crate) struct Nice(u8);

/// How browsers reach this machine.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ReachabilityConfig {
    pub(crate) udp: Option<SocketAddr>,
    pub(crate) udp_ports: Option<Text<Ports>>,
    pub(crate) tcp: Option<SocketAddr>,
    pub(crate) public_addresses: Vec<IpAddr>,
    pub(crate) stun: Vec<Text<StunUrl>>,
    pub(crate) turn: Option<TurnConfig>,
}

/// A TURN server and how to log in.
#[derive(Debug, Deserialize)]
#[serde(try_from = "TurnKeys")]
pub(crate) struct TurnConfig {
    pub(crate) urls: Vec<String>,
    pub(crate) login: TurnLogin,
}

#[derive(Debug)]
pub(crate) enum TurnLogin {
    /// The file with the secret that it shares with this program.
    SharedSecret(PathBuf),
    User {
        name: String,
        password_file: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TurnKeys {
    urls: Vec<Text<TurnUrl>>,
    secret_file: Option<PathBuf>,
    user: Option<String>,
    password_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostConfig {
    id: Spanned<u32>,
    address: Text<HostAddress>,
    #[serde(default)]
    pairing: PairingConfig,
}

/// How a host learns the PIN.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PairingConfig {
    #[default]
    Pin,
    Sunshine(SunshineConfig),
    Wolf(WolfConfig),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SunshineConfig {
    user: String,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WolfConfig {
    socket: PathBuf,
}

/// A host that the file names.
#[derive(Debug)]
pub(crate) struct ConfiguredHost {
    pub(crate) id: u32,
    pub(crate) address: HostAddress,
    pub(crate) pairing: PairingMethod,
}

/// What is wrong with a configuration file. No secret of it is told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    #[error("the configuration file {} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}:{line}: {field}{message}", path.display())]
    Invalid { path: PathBuf, line: usize, field: Field, message: String },
    #[error("{}: hosts: the host {id} needs one of password and password_file", path.display())]
    NoPassword { path: PathBuf, id: u32 },
    #[error("{}: hosts: the password of host {id}", path.display())]
    Password { path: PathBuf, id: u32, source: SecretFileError },
}

/// A key with those that lead to it; empty if none is meant.
#[derive(Debug)]
pub(crate) struct Field(String);

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

/// A file that was read.
#[derive(Debug, Default)]
pub(crate) struct ConfigFile {
    pub(crate) config: Config,
    /// Unless there is none.
    path: PathBuf,
}

impl ConfigFile {
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let invalid = |at: Option<usize>, field: String, message: String| {
            let before = &text.as_bytes()[..at.unwrap_or_default().min(text.len())];
            let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
            ConfigError::Invalid { path: path.to_owned(), line, field: Field(field), message }
        };
        let refused = |field: String, error: &toml::de::Error| {
            invalid(error.span().map(|span| span.start), field, error.message().to_owned())
        };
        let toml = toml::Deserializer::parse(text).map_err(|error| refused(String::new(), &error))?;
        let mut config: Config = serde_path_to_error::deserialize(toml).map_err(|error| {
            let path = error.path().to_string();
            // What `Spanned` adds means nothing to people.
            let field = path.split(".$__").next().filter(|path| *path != ".").unwrap_or_default().to_owned();
            refused(field, error.inner())
        })?;
        for (n, host) in config.hosts.iter().enumerate() {
            if config.hosts[..n].iter().any(|other| other.id.get_ref() == host.id.get_ref()) {
                let message = format!("two hosts cannot both be {}", host.id.get_ref());
                return Err(invalid(Some(host.id.span().start), format!("hosts[{n}].id"), message));
            }
        }
        config.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(Self { config, path: path.to_owned() })
    }

    /// The hosts that it names. Reads their passwords.
    pub(crate) fn hosts(&self) -> Result<Vec<ConfiguredHost>, ConfigError> {
        let hosts = self.config.hosts.iter().map(|HostConfig { id, address, pairing }| {
            let id = *id.get_ref();
            let pairing = match pairing {
                PairingConfig::Pin => PairingMethod::Pin,
                PairingConfig::Wolf(WolfConfig { socket }) => PairingMethod::Wolf { socket: socket.clone() },
                PairingConfig::Sunshine(sunshine) => PairingMethod::Sunshine {
                    user: sunshine.user.clone(),
                    password: self.password(id, sunshine)?,
                },
            };
            Ok(ConfiguredHost { id, address: address.0.clone(), pairing })
        });
        hosts.collect()
    }

    fn password(&self, id: u32, sunshine: &SunshineConfig) -> Result<String, ConfigError> {
        match (&sunshine.password, &sunshine.password_file) {
            (Some(Secret(password)), None) => Ok(password.clone()),
            (None, Some(file)) => secret::read(file).map_err(|source| ConfigError::Password {
                path: self.path.clone(),
                id,
                source,
            }),
            _ => Err(ConfigError::NoPassword { path: self.path.clone(), id }),
        }
    }
}

impl Config {
    fn resolve(&mut self, folder: &Path) {
        let paths = self.state_dir.iter_mut().chain(self.recordings.values_mut());
        let turn = self.reachability.turn.iter_mut().map(|turn| match &mut turn.login {
            TurnLogin::SharedSecret(file) | TurnLogin::User { password_file: file, .. } => file,
        });
        let hosts = self.hosts.iter_mut().filter_map(|host| match &mut host.pairing {
            PairingConfig::Pin => None,
            PairingConfig::Sunshine(sunshine) => sunshine.password_file.as_mut(),
            PairingConfig::Wolf(wolf) => Some(&mut wolf.socket),
        });
        for path in paths.chain(turn).chain(hosts) {
            *path = folder.join(&*path);
        }
    }
}

impl TryFrom<TurnKeys> for TurnConfig {
    type Error = &'static str;

    fn try_from(keys: TurnKeys) -> Result<Self, Self::Error> {
        let login = match (keys.secret_file, keys.user, keys.password_file) {
            (Some(file), None, None) => TurnLogin::SharedSecret(file),
            (None, Some(name), Some(password_file)) => TurnLogin::User { name, password_file },
            _ => return Err("needs secret_file, or user with password_file"),
        };
        if keys.urls.is_empty() {
            return Err("urls is empty");
        }
        Ok(Self { urls: keys.urls.into_iter().map(|Text(TurnUrl(url))| url).collect(), login })
    }
}

impl TryFrom<u8> for Nice {
    type Error = &'static str;

    fn try_from(nice: u8) -> Result<Self, Self::Error> {
        if nice <= 19 { Ok(Self(nice)) } else { Err("expected a number from 0 to 19") }
    }
}

impl From<Nice> for i32 {
    fn from(Nice(nice): Nice) -> Self {
        nice.into()
    }
}

/// A value that is written as a text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text<T>(pub(crate) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parse<T>(PhantomData<T>);
        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Parse<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<T>, E> {
                text.parse().map(Text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Parse(PhantomData))
    }
}

/// Where browsers connect.
#[derive(Debug)]
pub(crate) struct ListenAddress(pub(crate) SocketAddr);
/// As `stun:HOST:PORT`.
#[derive(Clone, Debug)]
pub(crate) struct StunUrl(pub(crate) String);
/// As `turn:HOST:PORT`.
#[derive(Debug)]
struct TurnUrl(String);

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        loopback(text).map(Self)
    }
}

impl FromStr for StunUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        stun_url(text).map(Self)
    }
}

impl FromStr for TurnUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        turn_url(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, ConfigError> {
        ConfigFile::parse(Path::new("/etc/mux/config.toml"), text)
    }

    const WHOLE: &str = r#"
listen = "127.0.0.1:9000"
state_dir = "state"
input_mode = "one_at_a_time"
isolation = "process"

[limits]
memory = "512M"
open_files = 500
nice = 5

[reachability]
udp = "0.0.0.0:4000"
udp_ports = "4000-4063"
tcp = "0.0.0.0:443"
public_addresses = ["203.0.113.9"]
stun = ["stun:stun.example:3478"]

[reachability.turn]
urls = ["turn:turn.example:3478"]
secret_file = "turn.secret"

[recordings]
desktop = "captures/desktop"

[[hosts]]
id = 0
address = "192.168.1.5"

[[hosts]]
id = 7
address = "[fd00::5]:48989"
pairing = { wolf = { socket = "/run/wolf.sock" } }

[[hosts]]
id = 8
address = "sunshine.example"
[hosts.pairing.sunshine]
user = "me"
password = "open sesame"
"#;

    #[test]
    fn a_file_says_everything() {
        let file = parse(WHOLE).unwrap();
        let Config { listen, state_dir, input_mode, isolation, limits, reachability, recordings, .. } =
            &file.config;
        assert_eq!(listen.as_ref().unwrap().0.0.to_string(), "127.0.0.1:9000");
        assert_eq!(state_dir.as_deref(), Some(Path::new("/etc/mux/state")));
        assert_eq!(input_mode, &Some(Text(InputMode::one_at_a_time())));
        assert_eq!(isolation, &Some(Text(Kind::Process)));
        assert_eq!(limits.memory, Some(Text("512M".parse().unwrap())));
        assert_eq!((limits.open_files.unwrap().get(), i32::from(limits.nice.unwrap())), (500, 5));
        assert_eq!(reachability.udp_ports.as_ref().unwrap().0, Ports(4000..=4063));
        assert_eq!(reachability.udp.unwrap().to_string(), "0.0.0.0:4000");
        assert_eq!(reachability.tcp.unwrap().to_string(), "0.0.0.0:443");
        assert_eq!(reachability.public_addresses, ["203.0.113.9".parse::<IpAddr>().unwrap()]);
        assert_eq!(reachability.stun[0].0.0, "stun:stun.example:3478");
        let TurnConfig { urls, login } = reachability.turn.as_ref().unwrap();
        assert_eq!(urls, &["turn:turn.example:3478"]);
        assert!(matches!(login, TurnLogin::SharedSecret(file) if file == Path::new("/etc/mux/turn.secret")));
        let (Text(name), folder) = recordings.first_key_value().unwrap();
        assert_eq!((name.as_str(), folder.as_path()), ("desktop", Path::new("/etc/mux/captures/desktop")));

        let hosts = file.hosts().unwrap();
        let addresses: Vec<_> = hosts.iter().map(|host| (host.id, host.address.to_string())).collect();
        assert_eq!(addresses[0], (0, "192.168.1.5".to_owned()));
        assert_eq!(addresses[1], (7, "[fd00::5]:48989".to_owned()));
        assert!(matches!(hosts[0].pairing, PairingMethod::Pin));
        let socket = Path::new("/run/wolf.sock");
        assert!(matches!(&hosts[1].pairing, PairingMethod::Wolf { socket: at } if at == socket));
        let PairingMethod::Sunshine { user, password } = &hosts[2].pairing else { panic!("{hosts:?}") };
        assert_eq!((user.as_str(), password.as_str()), ("me", "open sesame"));
    }

    #[test]
    fn an_empty_file_says_nothing() {
        let file = parse("").unwrap();
        let Config { listen, state_dir, input_mode, .. } = &file.config;
        assert!(listen.is_none() && state_dir.is_none() && input_mode.is_none());
        assert!(file.hosts().unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_file_line_and_field() {
        for (text, expected) in [
            ("listen = ", "/etc/mux/config.toml:1: string values must be quoted"),
            (
                "\nlisten = 8080",
                "/etc/mux/config.toml:2: listen: invalid type: integer `8080`, expected a text in quotes",
            ),
            (
                "listen = \"0.0.0.0:80\"",
                "/etc/mux/config.toml:1: listen: other machines could connect to 0.0.0.0",
            ),
            ("input_mode = \"both\"", ":1: input_mode: an input mode is shared, one_at_a_time or view_only"),
            (
                "\n\nport = 1",
                "/etc/mux/config.toml:3: port: unknown field `port`, expected one of `listen`, ",
            ),
            ("[reachability]\nupd = 1", ":2: reachability.upd: unknown field `upd`, expected one of `udp`, "),
            (
                "[reachability]\npublic_addresses = [\"home\"]",
                ":2: reachability.public_addresses[0]: invalid IP",
            ),
            ("[reachability]\nstun = [\"x\"]", ":2: reachability.stun[0]: expected stun:HOST:PORT"),
            (
                "[reachability.turn]\nurls = [\"turn:a\"]\nuser = \"x\"",
                "needs secret_file, or user with password_file",
            ),
            ("isolation = \"thread\"", ":1: isolation: expected process or in-process"),
            (
                "[limits]\nmemory = 5",
                ":2: limits.memory: invalid type: integer `5`, expected a text in quotes",
            ),
            ("[limits]\nmemory = \"x\"", ":2: limits.memory: expected bytes, as in 512M or 2G"),
            ("[limits]\nopen_files = 0", ":2: limits.open_files: "),
            ("[limits]\nnice = 20", ":2: limits.nice: expected a number from 0 to 19"),
            ("[reachability]\nudp_ports = \"1\"", ":2: reachability.udp_ports: expected FIRST-LAST, as in "),
            ("[recordings]\n\"a b\" = \"x\"", ":2: recordings"),
            ("[[hosts]]\nid = 0", ":1: hosts[0]: missing field `address`"),
            ("[[hosts]]\nid = 0\naddress = \"a:b\"", ":3: hosts[0].address: "),
            ("[[hosts]]\nid = -1\naddress = \"a\"", ":2: hosts[0].id: "),
            (
                "[[hosts]]\nid = 0\naddress = \"a\"\npairing = \"magic\"",
                ":4: hosts[0].pairing: unknown variant `magic`",
            ),
            (
                "[[hosts]]\nid = 0\naddress = \"a\"\n[[hosts]]\nid = 0\naddress = \"b\"",
                ":5: hosts[1].id: two hosts cannot both be 0",
            ),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_password_is_in_no_error_and_no_debug_output() {
        let host = "[[hosts]]\nid = 0\naddress = \"a\"\npairing.sunshine = ";
        for secret in ["1234567", "-12.5", "true", "\"1234567", "[1234567]"] {
            let text = format!("{host}{{ user = \"me\", password = {secret} }}");
            let error = parse(&text).expect_err(secret);
            let said = format!("{error} {error:?}");
            assert!(said.contains(":4: ") && !said.contains("1234567") && !said.contains("12.5"), "{said}");
        }
        let file = parse(&format!("{host}{{ user = \"me\", password = \"1234567\" }}")).unwrap();
        assert!(!format!("{file:?} {:?}", file.hosts()).contains("1234567"));
    }

    #[test]
    fn a_host_has_one_password() {
        for keys in ["user = \"me\"", "user = \"me\", password = \"a\", password_file = \"b\""] {
            let text = format!("[[hosts]]\nid = 3\naddress = \"a\"\npairing.sunshine = {{ {keys} }}");
            let error = parse(&text).unwrap().hosts().expect_err(keys).to_string();
            assert!(error.ends_with("the host 3 needs one of password and password_file"), "{error}");
        }
        let text = "[[hosts]]\nid = 3\naddress = \"a\"\npairing.sunshine = { user = \"me\", password_file = \"/no/such\" }";
        let error = parse(text).unwrap().hosts().expect_err("no file").to_string();
        assert!(error.ends_with("the password of host 3"), "{error}");
    }
}
