//! Answers the RTSP dialogue, as hosts do (protocol document, session 12 to 16 and 22).

use std::fmt;

use super::{Manner, SessionConfig, SessionPorts};
use crate::gamestream::crypto::RtspCipher;
use crate::gamestream::wire::rtsp::{
    Envelope, Headers, MAX_REQUEST, Malformed, Method, Request, Response, Sealed, Sender,
};
use crate::gamestream::wire::sdp::{self, Announcement, EncryptionOffer, Offer, OpusLayout};
use crate::media::VideoCodec;

/// What a client was told and what it announced.
#[derive(Debug)]
pub(super) struct Responder {
    manner: Manner,
    /// `Some` if all messages are encrypted.
    cipher: Option<RtspCipher>,
    offer: Offer,
    encryption: EncryptionOffer,
    ports: SessionPorts,
    /// 16 characters that pings repeat; Wolf has none.
    ping_payload: Option<[u8; 16]>,
    /// What ENet's CONNECT repeats; Wolf has none.
    connect_data: Option<u32>,
    /// Of the next answer; each has one of its own.
    sequence: u32,
}

/// What ANNOUNCE said.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) announcement: Announcement,
    /// Parity shards that each FEC block shall have.
    pub(super) min_parity: u8,
    /// The client knows ping payloads and connect data.
    pub(super) tells_itself: bool,
}

/// An answer as it goes over the wire, and what the request brought.
pub(super) struct Answer {
    /// Empty: the connection is closed without a byte.
    pub(super) bytes: Vec<u8>,
    pub(super) announced: Option<Announced>,
}

impl Responder {
    pub(super) fn new(config: &SessionConfig, ping_payload: [u8; 16], connect_data: u32) -> Self {
        let SessionConfig { manner, encryption, hevc, av1, ref launch, ports, .. } = *config;
        let sunshine = manner != Manner::Wolf;
        let layouts = if sunshine { &SUNSHINE_LAYOUTS[..] } else { &WOLF_LAYOUTS };
        let offer = Offer {
            encryption: sunshine.then_some(encryption),
            features: if manner == Manner::SunshineV023 { 0 } else { 3 },
            invalidation: false,
            hevc,
            av1,
            layouts: layouts.iter().map(|digits| layout(digits)).collect(),
        };
        Self {
            manner,
            cipher: (sunshine && launch.rtsp_encryption).then(|| RtspCipher::new(&launch.key)),
            offer,
            encryption,
            ports,
            ping_payload: sunshine.then_some(ping_payload),
            connect_data: sunshine.then_some(connect_data),
            sequence: 0,
        }
    }

    pub(super) fn encrypts(&self) -> bool {
        self.cipher.is_some()
    }

    pub(super) fn ping_payload(&self) -> Option<[u8; 16]> {
        self.ping_payload
    }

    pub(super) fn connect_data(&self) -> Option<u32> {
        self.connect_data
    }

    /// Whether the bytes that came are a request as a whole; what can become none is too.
    pub(super) fn is_whole(&self, received: &[u8]) -> bool {
        if received.len() >= MAX_REQUEST {
            return true;
        }
        if self.cipher.is_some() {
            let Some(word) = received.first_chunk() else { return false };
            let word = u32::from_be_bytes(*word);
            let need = Envelope::LEN.saturating_add((word & 0x7fff_ffff) as usize);
            return word >> 31 == 0 || received.len() >= need;
        }
        let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
        let head = String::from_utf8_lossy(&received[..end]);
        let need = header(&head, "Content-length").map_or(Ok(0), str::parse::<usize>);
        need.map_or(true, |need| received.len() - end - 4 >= need)
    }

    /// The answer to a request.
    pub(super) fn answer(&mut self, request: &[u8]) -> Answer {
        let clear = match &self.cipher {
            None => Some(request.to_vec()),
            Some(cipher) => Sealed::parse(request).ok().and_then(|it| cipher.open(Sender::Client, &it).ok()),
        };
        let mut answer = match clear {
            None => Answer::status(0, 400),
            Some(clear) => self.answer_clear(&clear),
        };
        if let (Some(cipher), false) = (&self.cipher, answer.bytes.is_empty()) {
            self.sequence += 1;
            answer.bytes = cipher.seal(Sender::Host, self.sequence, answer.bytes);
        }
        answer
    }

    fn answer_clear(&self, bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let cseq = header(&text, "CSeq").and_then(|number| number.parse().ok()).unwrap_or(0);
        let request = match Request::parse(bytes) {
            Ok(request) => request,
            Err(Malformed::Method) => return Answer::status(cseq, 404),
            // It stops to serve RTSP (session 22, S25).
            Err(Malformed::ContentLength) if self.manner == Manner::Wolf => return Answer::closed(),
            Err(_) => return Answer::status(0, 400),
        };
        if self.manner == Manner::Wolf && !wolf_reads(&request) {
            return Answer::status(0, 400);
        }
        match request.method {
            Method::Options => Answer::ok(Headers::default().with("CSeq", cseq), ""),
            Method::Describe => Answer::ok(Headers::default().with("CSeq", cseq), &self.describe()),
            Method::Setup => self.setup(cseq, &request.target),
            Method::Announce => self.announce(cseq, &request.body),
            // Nothing hangs on it (session 22, S19).
            Method::Play => Answer::ok(Headers::default().with("CSeq", cseq), ""),
        }
    }

    fn describe(&self) -> String {
        let mut body = String::new();
        if self.manner != Manner::Wolf {
            self.offer.emit(&mut body);
            return body;
        }
        if self.offer.hevc {
            body.push_str("sprop-parameter-sets=AAAAAU\r\n");
        }
        if self.offer.av1 {
            body.push_str("a=a=rtpmap:98 AV1/90000\r\n");
        }
        for digits in WOLF_LAYOUTS {
            body.push_str(&format!("a=fmtp:97 surround-params={digits}\r\n"));
        }
        body.push_str(&format!("a=x-ss-general.featureFlags: {}\r\n", self.offer.features));
        body
    }

    /// Only the word between `=` and `/` is looked at (session 14).
    fn setup(&self, cseq: u32, target: &str) -> Answer {
        let word = target.split_once('=').and_then(|(_, path)| path.split('/').next());
        let headers = |port: u16| {
            let headers = Headers::default().with("CSeq", cseq).with("Session", SESSION);
            headers.with("Transport", format_args!("server_port={port}"))
        };
        let media = |port| match &self.ping_payload {
            Some(payload) => headers(port).with("X-SS-Ping-Payload", String::from_utf8_lossy(payload)),
            None => headers(port),
        };
        match (word, self.connect_data) {
            (Some("audio"), _) => Answer::ok(media(self.ports.audio), ""),
            (Some("video"), _) => Answer::ok(media(self.ports.video), ""),
            (Some("control"), Some(data)) => {
                Answer::ok(headers(self.ports.control).with("X-SS-Connect-Data", data), "")
            }
            (Some("control"), None) => Answer::ok(headers(self.ports.control), ""),
            _ => Answer::status(cseq, 404),
        }
    }

    fn announce(&self, cseq: u32, body: &str) -> Answer {
        let announcement = match Announcement::parse(body) {
            Ok(announcement) => announcement,
            // It dies of it (session 22, S25).
            Err(sdp::Malformed::Missing { .. }) if self.manner == Manner::Wolf => return Answer::closed(),
            Err(_) => return Answer::status(cseq, 400),
        };
        let coded = match announcement.codec {
            VideoCodec::H264 => true,
            VideoCodec::Hevc => self.offer.hevc,
            VideoCodec::Av1 => self.offer.av1,
        };
        if !coded {
            return Answer::status(cseq, 400);
        }
        let EncryptionOffer { requested, .. } = self.encryption;
        let (announced, sunshine) = (announcement.encryption, self.manner != Manner::Wolf);
        if sunshine && requested.video && requested.audio && !(announced.video && announced.audio) {
            return Answer::status(cseq, 403);
        }
        let min_parity = attribute(body, "x-nv-vqos[0].fec.minRequiredFecPackets").unwrap_or(0).min(2);
        let tells_itself = attribute(body, "x-ml-general.featureFlags").is_some_and(|flags| flags & 2 != 0);
        let announced = Some(Announced { announcement, min_parity, tells_itself });
        Answer { announced, ..Answer::ok(Headers::default().with("CSeq", cseq), "") }
    }
}

impl Answer {
    pub(super) fn closed() -> Self {
        Self { bytes: Vec::new(), announced: None }
    }

    fn ok(headers: Headers, body: &str) -> Self {
        Self::of(Response { status: 200, reason: "OK".to_owned(), headers, body: body.to_owned() })
    }

    /// Wolf's words (session 12.3); Sunshine's errors are not recorded.
    fn status(cseq: u32, status: u16) -> Self {
        let reason = match status {
            403 => "FORBIDDEN",
            404 => "NOT FOUND",
            _ => "BAD REQUEST",
        };
        let headers = Headers::default().with("CSeq", cseq);
        Self::of(Response { status, reason: reason.to_owned(), headers, body: String::new() })
    }

    fn of(response: Response) -> Self {
        let mut bytes = Vec::new();
        response.emit(&mut bytes);
        Self { bytes, ..Self::closed() }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Wolf's grammar: `CSeq` comes first, a URL has an address of digits and a port (session 12.3).
fn wolf_reads(request: &Request) -> bool {
    let first = request.headers.iter().next();
    if first.is_none_or(|(name, value)| name != "CSeq" || value.parse::<u32>().is_err()) {
        return false;
    }
    let Some((_, authority)) = request.target.split_once("://") else { return true };
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && port.parse::<u16>().is_ok()
}

/// A header's value, in a message that may be none; names are matched as Sunshine does, by case (session 12.3).
fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.split("\r\n").take_while(|line| !line.is_empty());
    lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// An attribute's value, where it is a number of 8 bits.
fn attribute(body: &str, name: &str) -> Option<u8> {
    let mut lines = body.lines().filter_map(|line| line.strip_prefix("a=")?.split_once(':'));
    lines.find(|(other, _)| *other == name)?.1.trim().parse().ok()
}

fn layout(digits: &str) -> OpusLayout {
    OpusLayout::parse(digits).expect("hosts' layouts are layouts")
}

/// Of all hosts alike.
const SESSION: &str = "DEADBEEFCAFE;timeout = 90";

/// Stereo, 5.1 and 7.1, each in normal and in high quality (session 15).
const SUNSHINE_LAYOUTS: [&str; 6] =
    ["21101", "21101", "642012453", "660012345", "85301245367", "88001234567"];
const WOLF_LAYOUTS: [&str; 3] = ["21101", "642014235", "85301423675"];
