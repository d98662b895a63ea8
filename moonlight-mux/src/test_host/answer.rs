//! What a host answers to calls, in each manner. Pure, but for what it asks of [`Clients`] and [`Launches`].
//!
//! Source: protocol document, session 5 to 10; the recordings `http-facts` and `wolf-http-facts`.

use bytes::Bytes;

use super::launches::Refused;
use super::pairing::Outcome;
use super::{HostStep, HostileAnswer, Manner};
use crate::gamestream::wire::http::pairing::PairAnswer;
use crate::gamestream::wire::http::{Refusal, ServerInfo, Start};
use crate::gamestream::wire::xml::{Document, Element};

/// What goes back on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The connection is closed without an answer.
    Nothing,
    Body {
        /// Of HTTP.
        http_status: u16,
        /// Of the document.
        status: i32,
        content_type: Option<&'static str>,
        body: Bytes,
    },
}

impl Answer {
    /// A document. Sunshine puts 200 above all of them, Wolf the document's status (session 22, H1 and H4).
    pub(super) fn document(manner: Manner, status: i32, text: String) -> Self {
        let http_status = match manner {
            Manner::Wolf => u16::try_from(status).unwrap_or(500),
            Manner::Sunshine | Manner::SunshineV023 => 200,
        };
        Self::Body { http_status, status, content_type: None, body: text.into() }
    }

    /// A document with a status alone.
    pub(super) fn status(manner: Manner, status: i32) -> Self {
        Self::refusal(manner, status, None, None)
    }

    pub(super) fn refusal(manner: Manner, status: i32, message: Option<&str>, element: Option<&str>) -> Self {
        let mut text = String::new();
        Refusal { status, message: message.map(str::to_owned) }.emit(element, &mut text);
        Self::document(manner, status, text)
    }

    /// For a client whose certificate is not paired. Sunshine does not look what it wants.
    pub(super) fn unauthorized(manner: Manner, path: &str) -> Self {
        let query = if manner == Manner::Wolf { path } else { "" };
        let query = quick_xml::escape::escape(query);
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<root status_code=\"401\" query=\"{query}\" \
             status_message=\"The client is not authorized. Certificate verification failed.\"/>"
        );
        Self::document(manner, 401, text)
    }

    pub(super) fn server_info(manner: Manner, info: &ServerInfo) -> Self {
        let mut text = String::new();
        info.emit(&mut text);
        if manner != Manner::Sunshine {
            let mut document = Document::parse(text.as_bytes()).expect("it has just been written");
            let modes = DISPLAY_MODES.iter().flat_map(|[width, height, rate]| {
                let mode = Document::success()
                    .with(2, "DisplayMode", "")
                    .with(3, "Width", width)
                    .with(3, "Height", height)
                    .with(3, "RefreshRate", rate);
                mode.elements
            });
            let list = Element { depth: 1, name: "SupportedDisplayMode".to_owned(), text: String::new() };
            let at = document.elements.iter().position(|e| e.name == "PairStatus").unwrap_or_default();
            document.elements.splice(at..at, std::iter::once(list).chain(modes));
            text.clear();
            document.emit(&mut text);
        }
        Self::document(manner, 200, text)
    }

    pub(super) fn pairing(manner: Manner, outcome: &Outcome) -> Self {
        let answer = match outcome {
            Outcome::Answer(answer) | Outcome::Paired(answer) | Outcome::Failed(answer) => answer,
            Outcome::OutOfOrder(_) if manner == Manner::Wolf => return Self::Nothing,
            Outcome::OutOfOrder(stage) => {
                let message = format!("Out of order call to {stage}");
                return Self::refusal(manner, 400, Some(&message), Some("paired"));
            }
        };
        let mut text = String::new();
        match answer {
            PairAnswer::ServerCertificate(pem) if manner == Manner::SunshineV023 => {
                // One line feed too many (session 8.3).
                PairAnswer::ServerCertificate([pem, &b"\n"[..]].concat()).emit(&mut text);
            }
            answer => answer.emit(&mut text),
        }
        Self::document(manner, 200, text)
    }

    /// A launch without what it needs.
    pub(super) fn incomplete_start(manner: Manner, start: Start) -> Self {
        let message = match (manner, start) {
            (Manner::Wolf, _) => return Self::Nothing,
            (_, Start::Launch) => "Missing a required launch parameter",
            (_, Start::Resume) => "Missing a required resume parameter",
        };
        Self::refusal(manner, 400, Some(message), Some("resume"))
    }

    pub(super) fn refused_start(manner: Manner, refused: Refused) -> Self {
        let (status, message, element) = match refused {
            Refused::UnknownApp if manner == Manner::Wolf => return Self::status(manner, 400),
            Refused::UnknownApp => (404, "Failed to start the specified application", "gamesession"),
            Refused::Running => (400, "An app is already running on this host", "resume"),
            Refused::NothingRuns => (503, "No running app to resume", "resume"),
            Refused::Limit => (
                503,
                "The host's concurrent stream limit has been reached. Stop an existing stream or increase the \
                 'Channels' value in the Sunshine Web UI.",
                "resume",
            ),
        };
        Self::refusal(manner, status, Some(message), Some(element))
    }

    /// The same answer, spoilt.
    pub(super) fn spoilt(self, hostile: HostileAnswer, step: HostStep, manner: Manner) -> Self {
        let Self::Body { http_status, status, content_type, body } = self else { return Self::Nothing };
        let body = match hostile {
            HostileAnswer::Nothing => return Self::Nothing,
            HostileAnswer::Status(status) => return Self::status(manner, status),
            HostileAnswer::Garbage => {
                Bytes::from((0..1000u32).map(|n| (n * 151) as u8 | 0x80).collect::<Vec<_>>())
            }
            HostileAnswer::HalfCertificate if step == HostStep::Pair(1) => halve_certificate(&body),
            HostileAnswer::Truncated | HostileAnswer::HalfCertificate => body.slice(..body.len() * 2 / 3),
            HostileAnswer::OtherXml => Bytes::from_static(b"<?xml version=\"1.0\"?><html><body/></html>"),
            HostileAnswer::Empty => return Self::status(manner, 200),
            HostileAnswer::Endless => Bytes::from(vec![b' '; 64 * 1024 * 1024]),
        };
        Self::Body { http_status, status, content_type, body }
    }
}

/// A well-formed answer whose certificate ends in the middle.
fn halve_certificate(body: &[u8]) -> Bytes {
    let Ok(mut document) = Document::parse(body) else { return Bytes::copy_from_slice(body) };
    for element in &mut document.elements {
        if element.name == "plaincert" {
            element.text.truncate(element.text.len() / 4 * 2);
        }
    }
    let mut text = String::new();
    document.emit(&mut text);
    text.into()
}

/// Some of those that v0.23.1 of Sunshine and Wolf list.
const DISPLAY_MODES: [[u32; 3]; 4] = [[1280, 720, 60], [1920, 1080, 60], [2560, 1440, 60], [3840, 2160, 60]];

/// The smallest PNG there is: one grey pixel.
pub(super) const APP_IMAGE: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 1, 0, 0,
    0, 1, 8, 0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63,
    0x68, 0, 0, 0, 0x82, 0, 0x81, 0x77, 0xcd, 0x72, 0xb6, 0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42,
    0x60, 0x82,
];
