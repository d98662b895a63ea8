//! The HTTP API's answers: what a host is, what it can run, and how it takes a session.
//!
//! Source: protocol document, session 5, 6, 7, 9 and 10.3; vectors of 24.7.

pub(crate) mod pairing;
pub(crate) mod request;

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::rtsp::SessionUrl;
use super::wake::MacAddress;
use super::xml::{self, Document};

/// Why an answer gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error("the answer is malformed")]
    Malformed(#[from] xml::Malformed),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the answer has no {element}")]
    Missing { element: &'static str },
    /// An element with a value that no host can mean.
    #[error("the answer's {element} makes no sense")]
    Field { element: &'static str },
}

/// The host says no (session 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// As in HTTP, or -1; 200 if only the document's elements say no.
    pub(crate) status: i32,
    /// In the host's words, cut after [`Self::MAX_MESSAGE`] characters.
    pub(crate) message: Option<String>,
}

impl Refusal {
    pub(crate) const MAX_MESSAGE: usize = 256;

    fn of(document: &Document) -> Self {
        let message = document.message.as_deref();
        Self {
            status: document.status,
            message: message.map(|message| message.chars().take(Self::MAX_MESSAGE).collect()),
        }
    }

    /// Whether the host does not know the client's certificate (any more).
    pub(crate) fn is_unpaired(&self) -> bool {
        self.status == 401
    }

    /// Appends the answer. Launching and resuming hosts put an element of value 0 behind it.
    pub(crate) fn emit(&self, element: Option<&str>, out: &mut String) {
        let mut document =
            Document { status: self.status, message: self.message.clone(), elements: Vec::new() };
        if let Some(element) = element {
            document = document.with(1, element, 0);
        }
        document.emit(out);
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the host refuses with status {}", self.status)?;
        self.message.as_ref().map_or(Ok(()), |message| write!(f, ": {}", message.escape_debug()))
    }
}

impl std::error::Error for Refusal {}

/// The document of a host that says yes.
fn accepted(bytes: &[u8]) -> Result<Document, Error> {
    let document = Document::parse(bytes)?;
    if document.is_success() { Ok(document) } else { Err(Refusal::of(&document).into()) }
}

fn element<T: FromStr>(document: &Document, element: &'static str) -> Result<Option<T>, Error> {
    match document.text(element) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Error::Field { element }),
    }
}

/// A number that a host gave to one of its apps; it changes when the app is renamed. 1 to 2^31 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AppId(u32);

impl<'de> Deserialize<'de> for AppId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u32::deserialize(deserializer)?).ok_or_else(|| D::Error::custom(NotAnAppId))
    }
}

impl AppId {
    /// `None` outside 1 to 2^31 - 1.
    #[must_use]
    pub fn new(id: u32) -> Option<Self> {
        (1..=i32::MAX.unsigned_abs()).contains(&id).then_some(Self(id))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The only app that the Apollo family lists for a client without rights; it cannot be launched (session 9).
    pub(crate) const NO_RIGHTS: Self = Self(114_514);
}

/// Text that is no app's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no number from 1 to 2147483647")]
pub struct NotAnAppId;

impl FromStr for AppId {
    type Err = NotAnAppId;

    fn from_str(text: &str) -> Result<Self, NotAnAppId> {
        let id = text.parse::<i32>().ok().and_then(|id| u32::try_from(id).ok());
        id.filter(|&id| id > 0).map(Self).ok_or(NotAnAppId)
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `appversion`: the version of the protocol (session 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version(pub(crate) [i32; 4]);

impl Version {
    /// What Sunshine, Wolf and their forks say.
    pub(crate) const SUNSHINE: Self = Self([7, 1, 431, -1]);

    /// Reads signed numbers with one character between them. What is missing, or no number, is 0.
    pub(crate) fn parse(text: &str) -> Self {
        let mut parts = [0; 4];
        for (part, text) in parts.iter_mut().zip(text.split('.')) {
            *part = text.trim().parse().unwrap_or(0);
        }
        Self(parts)
    }

    /// Whether the host knows the attributes of Sunshine.
    pub(crate) fn has_extensions(self) -> bool {
        self.0[3] < 0
    }

    /// Compares the first three parts.
    pub(crate) fn is_at_least(self, least: [i32; 3]) -> bool {
        self.0[..3] >= least[..]
    }

    /// Whether this client can talk to it: one control stream of type 13, and the attributes of Sunshine.
    pub(crate) fn is_supported(self) -> bool {
        self.has_extensions() && self.is_at_least([7, 1, 431])
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a}.{b}.{c}.{d}")
    }
}

/// `ServerCodecModeSupport`: what the host's encoders can do (session 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CodecModes(pub(crate) u32);

impl CodecModes {
    pub(crate) const H264: Self = Self(0x1);
    pub(crate) const HEVC: Self = Self(0x100);
    pub(crate) const AV1: Self = Self(0x10000);

    pub(crate) fn contains(self, mode: Self) -> bool {
        self.0 & mode.0 == mode.0
    }
}

/// The rights of this client on a host of the Apollo family, as a bit mask (session 22, N1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permission(pub(crate) u32);

impl Permission {
    pub(crate) const NONE: Self = Self(0);
}

/// The answer to `/serverinfo` (session 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    pub(crate) hostname: String,
    pub(crate) version: Version,
    /// The host's identity, the same at every address.
    pub(crate) uniqueid: String,
    pub(crate) https_port: u16,
    /// The port of HTTP for clients from outside.
    pub(crate) external_port: u16,
    /// Hosts tell it to paired clients only.
    pub(crate) mac: Option<MacAddress>,
    pub(crate) codec_modes: CodecModes,
    /// Meant for this client only if the answer came by HTTPS.
    pub(crate) paired: bool,
    /// What runs, as far as this client is told; `None` if the host says that it is free.
    pub(crate) running: Option<AppId>,
    /// Software of NVIDIA, not one of its successors.
    pub(crate) nvidia: bool,
    /// `None` from hosts outside the Apollo family.
    pub(crate) permission: Option<Permission>,
}

impl ServerInfo {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let document = accepted(bytes)?;
        let text = |element| document.text(element).map(str::to_owned).unwrap_or_default();
        let required = |element| document.text(element).ok_or(Error::Missing { element });
        let port = |name, default| {
            let port = element(&document, name)?.filter(|&port| port != 0);
            Ok::<u16, Error>(port.unwrap_or(default))
        };
        let state = required("state")?;
        // GFE keeps the number of what ran last.
        let running = match required("currentgame")? {
            id if id != "0" && state.ends_with("_SERVER_BUSY") => element(&document, "currentgame")?,
            _ => None,
        };
        let mac = document.text("mac").and_then(|text| text.parse().ok());
        let codec_modes = element(&document, "ServerCodecModeSupport")?.filter(|&modes| modes != 0);
        Ok(Self {
            hostname: text("hostname"),
            version: Version::parse(required("appversion")?),
            uniqueid: text("uniqueid"),
            https_port: port("HttpsPort", 47984)?,
            external_port: port("ExternalPort", 47989)?,
            mac: mac.filter(|&mac| mac != MacAddress::UNTOLD),
            codec_modes: codec_modes.map_or(CodecModes::H264, CodecModes),
            paired: required("PairStatus")? == "1",
            running,
            nvidia: state.contains("MJOLNIR"),
            permission: element(&document, "Permission")?.map(Permission),
        })
    }

    /// Appends the answer in the order of Sunshine.
    pub(crate) fn emit(&self, out: &mut String) {
        let hevc = self.codec_modes.contains(CodecModes::HEVC);
        let system = if self.nvidia { "MJOLNIR" } else { "SUNSHINE" };
        let state = if self.running.is_some() { "BUSY" } else { "FREE" };
        let mut document = Document::success()
            .with(1, "hostname", &self.hostname)
            .with(1, "appversion", self.version)
            .with(1, "GfeVersion", "3.23.0.74")
            .with(1, "uniqueid", &self.uniqueid)
            .with(1, "HttpsPort", self.https_port)
            .with(1, "ExternalPort", self.external_port)
            .with(1, "MaxLumaPixelsHEVC", if hevc { 1_869_449_984 } else { 0 })
            .with(1, "mac", self.mac.unwrap_or(MacAddress::UNTOLD))
            .with(1, "LocalIP", "127.0.0.1")
            .with(1, "ServerCodecModeSupport", self.codec_modes.0);
        if let Some(Permission(rights)) = self.permission {
            document = document.with(1, "Permission", rights);
        }
        document
            .with(1, "PairStatus", u8::from(self.paired))
            .with(1, "currentgame", self.running.map_or(0, |app| app.0))
            .with(1, "state", format_args!("{system}_SERVER_{state}"))
            .emit(out);
    }
}

/// Something that a host can run (session 9).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct App {
    /// By which it is launched.
    pub id: AppId,
    /// May be empty. Without the invisible characters that the Apollo family puts in front.
    pub title: String,
    /// Whether it can be streamed with a high dynamic range.
    pub hdr: bool,
}

/// Reads the answer to `/applist`.
pub(crate) fn parse_apps(bytes: &[u8]) -> Result<Vec<App>, Error> {
    let document = accepted(bytes)?;
    let app = |record: xml::Record<'_>| {
        let id = record.text("ID").ok_or(Error::Missing { element: "ID" })?;
        let title = record.text("AppTitle").unwrap_or_default();
        Ok(App {
            id: id.parse().map_err(|_| Error::Field { element: "ID" })?,
            title: title.trim_start_matches(['\u{200b}', '\u{200c}']).to_owned(),
            hdr: record.text("IsHdrSupported") == Some("1"),
        })
    };
    document.records("App").map(app).collect()
}

/// Appends the answer to `/applist`.
pub(crate) fn emit_apps(apps: &[App], out: &mut String) {
    let list = apps.iter().fold(Document::success(), |list, app| {
        list.with(1, "App", "")
            .with(2, "IsHdrSupported", u8::from(app.hdr))
            .with(2, "AppTitle", &app.title)
            .with(2, "ID", app.id)
    });
    list.emit(out);
}

/// Whether a session begins something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Launch,
    Resume,
}

/// The answer to `/launch` and to `/resume` (session 10.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    /// Old hosts give none.
    pub(crate) session_url: Option<SessionUrl>,
}

impl Started {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let document = accepted(bytes)?;
        // Either may stand there, whatever was asked for.
        if ["gamesession", "resume"].iter().any(|&element| document.text(element) == Some("0")) {
            return Err(Refusal::of(&document).into());
        }
        Ok(Self { session_url: element(&document, "sessionUrl0")? })
    }

    pub(crate) fn emit(&self, start: Start, out: &mut String) {
        let mut document = Document::success();
        if let Some(url) = &self.session_url {
            document = document.with(1, "sessionUrl0", url);
        }
        let element = match start {
            Start::Launch => "gamesession",
            Start::Resume => "resume",
        };
        document.with(1, element, 1).emit(out);
    }
}

/// Reads the answer to `/cancel`.
pub(crate) fn parse_cancelled(bytes: &[u8]) -> Result<(), Error> {
    let document = accepted(bytes)?;
    match document.text("cancel") {
        Some("0") => Err(Refusal::of(&document).into()),
        _ => Ok(()),
    }
}

/// Appends the answer to `/cancel`.
pub(crate) fn emit_cancelled(out: &mut String) {
    Document::success().with(1, "cancel", 1).emit(out);
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Session 6.
    pub(crate) const SERVER_INFO: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<root status_code=\"200\"><hostname>pc</hostname><appversion>7.1.431.-1</appversion><GfeVersion>3.23.0.74</GfeVersion><uniqueid>45924F0E-6465-B60F-B517-95DC63714036</uniqueid><HttpsPort>47984</HttpsPort><ExternalPort>47989</ExternalPort><MaxLumaPixelsHEVC>1869449984</MaxLumaPixelsHEVC><mac>00:00:00:00:00:00</mac><LocalIP>127.0.0.1</LocalIP><ServerCodecModeSupport>197377</ServerCodecModeSupport><PairStatus>0</PairStatus><currentgame>0</currentgame><state>SUNSHINE_SERVER_FREE</state></root>";

    #[test]
    fn the_documents_server_info_parses_and_builds_back() {
        let info = ServerInfo::parse(SERVER_INFO.as_bytes()).unwrap();
        assert!(info.version.is_supported() && !info.paired && !info.nvidia);
        assert_eq!((info.https_port, info.external_port), (47984, 47989));
        assert!(info.codec_modes.contains(CodecModes::AV1) && info.codec_modes.contains(CodecModes::HEVC));
        assert_eq!((info.running, info.permission), (None, None));
        let mut built = String::new();
        info.emit(&mut built);
        assert_eq!(built, SERVER_INFO);
    }

    #[test]
    fn an_app_runs_only_on_a_busy_host() {
        let running = |game: &str, state: &str| {
            let text = SERVER_INFO
                .replace("<currentgame>0", &format!("<currentgame>{game}"))
                .replace("SERVER_FREE", state);
            ServerInfo::parse(text.as_bytes()).map(|info| info.running)
        };
        assert_eq!(running("5", "SERVER_FREE"), Ok(None));
        assert_eq!(running("5", "SERVER_BUSY"), Ok(Some(AppId(5))));
        assert_eq!(running("0", "SERVER_BUSY"), Ok(None));
        assert_eq!(running("-5", "SERVER_BUSY"), Err(Error::Field { element: "currentgame" }));
    }

    #[test]
    fn versions_are_read_as_the_document_says() {
        let version = Version::parse("7.1.431.-1");
        assert_eq!(version, Version::SUNSHINE);
        assert!(version.has_extensions() && version.is_at_least([7, 1, 431]));
        let version = Version::parse("7.1.446.0");
        assert!(version.0 == [7, 1, 446, 0] && !version.is_supported());
        assert_eq!(Version::parse("3.23"), Version([3, 23, 0, 0]));
        assert_eq!(Version::parse("x.99999999999"), Version([0; 4]));
    }

    #[test]
    fn what_a_host_must_say_and_does_not_is_named() {
        for element in ["appversion", "state", "currentgame", "PairStatus"] {
            let text =
                SERVER_INFO.replace(&format!("<{element}>"), "<x>").replace(&format!("</{element}>"), "</x>");
            assert_eq!(ServerInfo::parse(text.as_bytes()), Err(Error::Missing { element }));
        }
        let text = SERVER_INFO.replace("47984", "479840");
        assert_eq!(ServerInfo::parse(text.as_bytes()), Err(Error::Field { element: "HttpsPort" }));
        let bare = "<root status_code='200'><appversion>7</appversion><state/><currentgame>0</currentgame>\
                    <PairStatus>1</PairStatus><Permission>117835012</Permission></root>";
        let info = ServerInfo::parse(bare.as_bytes()).unwrap();
        assert_eq!((info.https_port, info.codec_modes), (47984, CodecModes::H264));
        assert_eq!(info.permission, Some(Permission(117_835_012)));
    }

    #[test]
    fn apps_have_titles_without_invisible_characters() {
        let text = "<root status_code='200'><App><ID>1</ID><AppTitle>\u{200b}\u{200c}Desktop</AppTitle></App>\
                    <App><AppTitle/><IsHdrSupported>1</IsHdrSupported><ID>114514</ID></App></root>";
        let apps = parse_apps(text.as_bytes()).unwrap();
        assert_eq!(apps[0], App { id: AppId(1), title: "Desktop".to_owned(), hdr: false });
        assert_eq!(apps[1], App { id: AppId::NO_RIGHTS, title: String::new(), hdr: true });
        let list =
            |app: &str| parse_apps(format!("<root status_code='200'><App>{app}</App></root>").as_bytes());
        assert_eq!(list("<AppTitle>x</AppTitle>"), Err(Error::Missing { element: "ID" }));
        for id in ["0", "-1", "2147483648", "x", ""] {
            assert_eq!(list(&format!("<ID>{id}</ID>")), Err(Error::Field { element: "ID" }), "{id}");
        }
        assert_eq!(parse_apps(b"<root status_code='200'/>"), Ok(Vec::new()));
    }

    #[test]
    fn a_session_starts_only_if_nothing_says_no() {
        let started = |inside: &str| {
            Started::parse(format!("<root status_code='200'>{inside}</root>").as_bytes())
                .map(|started| started.session_url.map(|url| url.to_string()))
        };
        let url = "<sessionUrl0>rtsp://10.0.0.1:48010</sessionUrl0>";
        assert_eq!(
            started(&format!("{url}<resume>1</resume>")),
            Ok(Some("rtsp://10.0.0.1:48010".to_owned()))
        );
        assert_eq!(started("<gamesession>1</gamesession>"), Ok(None));
        let refused = Err(Refusal { status: 200, message: None }.into());
        assert_eq!(started(&format!("{url}<resume>0</resume>")), refused);
        assert_eq!(started("<gamesession>0</gamesession>"), refused);
        assert_eq!(started("<sessionUrl0>x</sessionUrl0>"), Err(Error::Field { element: "sessionUrl0" }));

        let refused =
            b"<root status_code='400' status_message='An app is already running'><resume>0</resume></root>";
        let Err(Error::Refused(refusal)) = Started::parse(refused) else { panic!("it is refused") };
        assert_eq!(refusal.to_string(), "the host refuses with status 400: An app is already running");
        assert!(!refusal.is_unpaired());
    }

    #[test]
    fn a_refusal_is_cut_and_printed_on_one_line() {
        let text = format!("<root status_code='-1' status_message='&#10;{}'/>", "é".repeat(1000));
        let Err(Error::Refused(refusal)) = parse_cancelled(text.as_bytes()) else { panic!("it is refused") };
        assert_eq!(refusal.message.as_ref().unwrap().chars().count(), Refusal::MAX_MESSAGE);
        assert!(!refusal.to_string().contains('\n'));
    }

    fn apps() -> impl Strategy<Value = Vec<App>> {
        let app = (1..=i32::MAX as u32, "([!-~]([ -~]{0,10}[!-~])?)?", any::<bool>())
            .prop_map(|(id, title, hdr)| App { id: AppId(id), title, hdr });
        prop::collection::vec(app, 0..8)
    }

    proptest! {
        #[test]
        fn any_list_of_apps_builds_and_parses_back(apps in apps()) {
            let mut text = String::new();
            emit_apps(&apps, &mut text);
            prop_assert_eq!(parse_apps(text.as_bytes()), Ok(apps));
        }

        #[test]
        fn any_server_info_builds_and_parses_back(
            names in ("[!-~]{1,10}", "[!-~]{1,10}"), version: [i32; 4], ports in (1u16.., 1u16..), modes in 1u32..,
            flags: [bool; 2], running in proptest::option::of(1..=i32::MAX as u32), permission: Option<u32>,
            mac in proptest::option::of(any::<[u8; 6]>().prop_filter("it is told", |mac| *mac != [0; 6])),
        ) {
            let info = ServerInfo {
                hostname: names.0,
                version: Version(version),
                uniqueid: names.1,
                https_port: ports.0,
                external_port: ports.1,
                mac: mac.map(MacAddress),
                codec_modes: CodecModes(modes),
                paired: flags[0],
                running: running.map(AppId),
                nvidia: flags[1],
                permission: permission.map(Permission),
            };
            let mut text = String::new();
            info.emit(&mut text);
            prop_assert_eq!(ServerInfo::parse(text.as_bytes()), Ok(info));
        }

        #[test]
        fn any_start_builds_and_parses_back(port in 1u16.., address: u32, resume: bool) {
            let url = format!("rtspenc://{}:{port}", std::net::Ipv4Addr::from(address));
            let started = Started { session_url: Some(url.parse().unwrap()) };
            let mut text = String::new();
            started.emit(if resume { Start::Resume } else { Start::Launch }, &mut text);
            prop_assert_eq!(Started::parse(text.as_bytes()), Ok(started));
        }
    }
}
