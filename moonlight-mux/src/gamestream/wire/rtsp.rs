//! RTSP messages in clear and their encrypted envelope.
//!
//! Source: protocol document, session 12.3, 12.4 and 13; vectors of 24.4.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::str::FromStr;

use super::array;

/// The longest accepted request. Sunshine reads one into 2048 bytes, and an encrypted one must stay below (session 12.2).
pub(crate) const MAX_REQUEST: usize = 2048;

/// The longest accepted response; the recorded ones stay below 400 bytes.
pub(crate) const MAX_RESPONSE: usize = 64 * 1024;

/// The most headers of a message; the recorded ones have up to seven.
pub(crate) const MAX_HEADERS: usize = 64;

/// Why bytes are no RTSP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Malformed {
    /// Nothing: the host has no session for us (session 22, S2).
    #[error("empty")]
    Empty,
    #[error("{got} bytes where no more than {limit} are expected")]
    Long { limit: usize, got: usize },
    /// Fewer or more bytes than the envelope says.
    #[error("{got} bytes where the envelope says {need}")]
    Length { need: usize, got: usize },
    #[error("the envelope is not marked as encrypted")]
    NotEncrypted,
    #[error("it is not UTF-8 text")]
    NotText,
    #[error("the first line is none of RTSP/1.0")]
    FirstLine,
    #[error("the method is unknown")]
    Method,
    #[error("the status is no number of three digits")]
    Status,
    #[error("a header has no colon")]
    Header,
    #[error("more than {MAX_HEADERS} headers")]
    Headers,
    #[error("Content-length is not the body's length")]
    ContentLength,
}

/// What a client asks for (session 14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Options,
    Describe,
    Setup,
    Announce,
    Play,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Announce => "ANNOUNCE",
            Self::Play => "PLAY",
        }
    }

    fn parse(name: &str) -> Result<Self, Malformed> {
        let all = [Self::Options, Self::Describe, Self::Setup, Self::Announce, Self::Play];
        all.into_iter().find(|method| method.name() == name).ok_or(Malformed::Method)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names and values in the order in which they stand in the message: Wolf insists on `CSeq` as the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    /// Appends a header. Neither part may hold a line break, nor the name a colon.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.0.push((name.to_owned(), value.to_string()));
        self
    }

    /// The value of the first header of that name, in whatever case.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn parse(lines: &str) -> Result<Self, Malformed> {
        let mut headers = Vec::new();
        for line in lines.split("\r\n").filter(|line| !line.is_empty()) {
            if headers.len() == MAX_HEADERS {
                return Err(Malformed::Headers);
            }
            let (name, value) = line.split_once(':').ok_or(Malformed::Header)?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Self(headers))
    }

    /// Hosts want exactly one space behind the colon (session 12.3).
    fn emit(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            out.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        out.extend(b"\r\n");
    }
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// A URL, `streamid=…` or `/`.
    pub(crate) target: String,
    pub(crate) headers: Headers,
    pub(crate) body: String,
}

impl Request {
    /// A whole request, body included.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (first, headers, body) = split(bytes, MAX_REQUEST)?;
        let headers = Headers::parse(headers)?;
        let mut words = first.splitn(3, ' ');
        let (Some(method), Some(target), Some("RTSP/1.0")) = (words.next(), words.next(), words.next())
        else {
            return Err(Malformed::FirstLine);
        };
        let announced = headers.find("Content-length").map_or(Ok(0), str::parse);
        if announced != Ok(body.len()) {
            return Err(Malformed::ContentLength);
        }
        Ok(Self { method: Method::parse(method)?, target: target.to_owned(), headers, body: body.to_owned() })
    }

    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        let Self { method, target, headers, body } = self;
        out.extend(format!("{method} {target} RTSP/1.0\r\n").into_bytes());
        headers.emit(out);
        out.extend(body.as_bytes());
    }
}

/// What a host answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// Three digits.
    pub(crate) status: u16,
    /// The status in words.
    pub(crate) reason: String,
    pub(crate) headers: Headers,
    /// All there is up to the end of the connection: hosts send no length.
    pub(crate) body: String,
}

impl Response {
    /// All that the host sent before it closed the connection. Lenient, as session 12.3 says.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (first, headers, body) = split(bytes, MAX_RESPONSE)?;
        let rest = first.strip_prefix("RTSP/1.0 ").ok_or(Malformed::FirstLine)?;
        let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let digits = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
        Ok(Self {
            status: status.parse().ok().filter(|_| digits).ok_or(Malformed::Status)?,
            reason: reason.to_owned(),
            headers: Headers::parse(headers)?,
            body: body.to_owned(),
        })
    }

    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        let Self { status, reason, headers, body } = self;
        out.extend(format!("RTSP/1.0 {status:03} {reason}\r\n").into_bytes());
        headers.emit(out);
        out.extend(body.as_bytes());
    }
}

/// The first line, the header lines and the body. The empty line between the last two may be cut short.
fn split(bytes: &[u8], limit: usize) -> Result<(&str, &str, &str), Malformed> {
    if bytes.is_empty() {
        return Err(Malformed::Empty);
    }
    if bytes.len() > limit {
        return Err(Malformed::Long { limit, got: bytes.len() });
    }
    let text = str::from_utf8(bytes).map_err(|_| Malformed::NotText)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    Ok((first, headers, body))
}

/// `sessionUrl0`: where the dialogue is held, and the words by which the host knows the session (session 12.1).
///
/// Only its port says where to connect; its host may be an address that exists nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionUrl {
    text: String,
    encrypted: bool,
    /// Where the host part stands in the text.
    host: Range<usize>,
    port: u16,
}

impl SessionUrl {
    /// The port where there is none in the URL.
    pub(crate) const DEFAULT_PORT: u16 = 48010;

    /// The URL for a host that gave none.
    pub(crate) fn of(address: SocketAddr) -> Self {
        format!("rtsp://{address}").parse().expect("an address and a port make a URL")
    }

    /// Whether every message is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// The host as the `Host` header has it: without port, an IPv6 address in its brackets.
    pub(crate) fn host(&self) -> &str {
        &self.text[self.host.clone()]
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// Text that is no session URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no rtsp:// or rtspenc:// URL of a host")]
pub(crate) struct NotASessionUrl;

impl FromStr for SessionUrl {
    type Err = NotASessionUrl;

    fn from_str(text: &str) -> Result<Self, NotASessionUrl> {
        // It becomes part of a request's first line and of a header.
        if text.len() > 256 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NotASessionUrl);
        }
        let (scheme, authority) = text.split_once("://").ok_or(NotASessionUrl)?;
        let encrypted = match scheme {
            "rtspenc" => true,
            "rtsp" => false,
            _ => return Err(NotASessionUrl),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let port = port.parse().ok().filter(|&port| port > 0);
                (host, port.unwrap_or(Self::DEFAULT_PORT))
            }
            _ => (authority, Self::DEFAULT_PORT),
        };
        if host.is_empty() {
            return Err(NotASessionUrl);
        }
        let start = text.len() - authority.len();
        Ok(Self { text: text.to_owned(), encrypted, host: start..start + host.len(), port })
    }
}

impl fmt::Display for SessionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Who encrypted a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Host,
}

/// A checked view of one encrypted message, as a whole (session 13).
///
/// ```text
///  0  u32 BE  0x80000000 | length of the ciphertext      8  16  GCM tag
///  4  u32 BE  sequence number                           24  …   ciphertext
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed<'a>(&'a [u8]);

impl<'a> Sealed<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match bytes.len() {
            0 => return Err(Malformed::Empty),
            got if got < Envelope::LEN => return Err(Malformed::Length { need: Envelope::LEN, got }),
            got if got > Envelope::LEN + MAX_RESPONSE => {
                return Err(Malformed::Long { limit: Envelope::LEN + MAX_RESPONSE, got });
            }
            got => {
                let word = u32::from_be_bytes(array(bytes, 0));
                if word & ENCRYPTED == 0 {
                    return Err(Malformed::NotEncrypted);
                }
                let need = Envelope::LEN.saturating_add((word & !ENCRYPTED) as usize);
                if got != need {
                    return Err(Malformed::Length { need, got });
                }
            }
        }
        Ok(Self(bytes))
    }

    /// Counts each side's messages from 1.
    pub(crate) fn sequence(&self) -> u32 {
        u32::from_be_bytes(array(self.0, 4))
    }

    pub(crate) fn tag(&self) -> [u8; 16] {
        array(self.0, 8)
    }

    pub(crate) fn ciphertext(&self) -> &'a [u8] {
        &self.0[Envelope::LEN..]
    }
}

/// What stands in front of an encrypted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) sequence: u32,
    pub(crate) tag: [u8; 16],
}

impl Envelope {
    /// Length in bytes.
    pub(crate) const LEN: usize = 24;

    pub(crate) fn nonce(sequence: u32, sender: Sender) -> [u8; 12] {
        let sender = match sender {
            Sender::Client => b'C',
            Sender::Host => b'H',
        };
        let [a, b, c, d] = sequence.to_le_bytes();
        [a, b, c, d, 0, 0, 0, 0, 0, 0, sender, b'R']
    }

    /// Appends the envelope and the ciphertext, which has fewer than 2^31 bytes.
    pub(crate) fn emit(&self, ciphertext: &[u8], out: &mut Vec<u8>) {
        out.extend((ENCRYPTED | ciphertext.len() as u32).to_be_bytes());
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.tag);
        out.extend(ciphertext);
    }
}

const ENCRYPTED: u32 = 0x8000_0000;

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Session 24.4, and the messages of session 14.
    pub(crate) const REQUESTS: [&str; 4] = [
        "OPTIONS rtspenc://192.168.1.50:48010 RTSP/1.0\r\nCSeq: 1\r\nX-GS-ClientVersion: 14\r\nHost: 192.168.1.50\r\n\r\n",
        "PLAY / RTSP/1.0\r\nCSeq: 7\r\nX-GS-ClientVersion: 14\r\nHost: 192.168.1.50\r\nSession: DEADBEEFCAFE\r\n\r\n",
        "SETUP streamid=audio/0/0 RTSP/1.0\r\nCSeq: 3\r\nTransport: unicast;X-GS-ClientPort=50000-50001\r\n\r\n",
        "ANNOUNCE streamid=control/13/0 RTSP/1.0\r\nCSeq: 6\r\nContent-length: 5\r\n\r\nv=0\r\n",
    ];
    pub(crate) const RESPONSES: [&str; 3] = [
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
        "RTSP/1.0 400 BAD REQUEST\r\nCSeq: 0\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\na=x-ss-general.featureFlags:0\na=fmtp:97 surround-params=21101\n",
    ];

    #[test]
    fn the_documents_requests_parse_and_build_back() {
        for text in REQUESTS {
            let mut built = Vec::new();
            Request::parse(text.as_bytes()).unwrap().emit(&mut built);
            assert_eq!(String::from_utf8(built).unwrap(), text);
        }
        let setup = Request::parse(REQUESTS[2].as_bytes()).unwrap();
        assert_eq!((setup.method, setup.target.as_str()), (Method::Setup, "streamid=audio/0/0"));
        assert_eq!(setup.headers.iter().next(), Some(("CSeq", "3")));
        assert_eq!(setup.headers.find("transport"), Some("unicast;X-GS-ClientPort=50000-50001"));
    }

    #[test]
    fn the_documents_responses_parse_and_build_back() {
        for text in RESPONSES {
            let mut built = Vec::new();
            Response::parse(text.as_bytes()).unwrap().emit(&mut built);
            assert_eq!(String::from_utf8(built).unwrap(), text);
        }
    }

    #[test]
    fn responses_are_read_leniently() {
        let response =
            Response::parse(b"RTSP/1.0 200 OK\r\nsession:  DEADBEEFCAFE;timeout = 90 \r\n").unwrap();
        assert_eq!(response.headers.find("Session"), Some("DEADBEEFCAFE;timeout = 90"));
        assert_eq!(response.body, "");
        assert_eq!(Response::parse(b"RTSP/1.0 404\r\n\r\n").unwrap().status, 404);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let request = |text: &str| Request::parse(text.as_bytes()).unwrap_err();
        assert_eq!(request(""), Malformed::Empty);
        assert_eq!(request("GET / HTTP/1.1\r\n\r\n"), Malformed::FirstLine);
        assert_eq!(request("TEARDOWN / RTSP/1.0\r\n\r\n"), Malformed::Method);
        assert_eq!(request("PLAY / RTSP/1.0\r\nCSeq 1\r\n\r\n"), Malformed::Header);
        assert_eq!(request("PLAY / RTSP/1.0\r\nContent-length: x\r\n\r\n"), Malformed::ContentLength);
        assert_eq!(request("PLAY / RTSP/1.0\r\nContent-length: 9\r\n\r\nshort"), Malformed::ContentLength);
        assert_eq!(request("PLAY / RTSP/1.0\r\n\r\nbody"), Malformed::ContentLength);
        let many = format!("PLAY / RTSP/1.0\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(request(&many), Malformed::Headers);
        assert_eq!(request(&"x".repeat(2049)), Malformed::Long { limit: 2048, got: 2049 });

        let response = |bytes: &[u8]| Response::parse(bytes).unwrap_err();
        assert_eq!(response(b""), Malformed::Empty);
        assert_eq!(response(b"HTTP/1.1 200 OK\r\n\r\n"), Malformed::FirstLine);
        assert_eq!(response(b"RTSP/1.0 +20 OK\r\n\r\n"), Malformed::Status);
        assert_eq!(response(b"RTSP/1.0 99999 OK\r\n\r\n"), Malformed::Status);
        assert_eq!(response(b"RTSP/1.0 200 \xff\r\n\r\n"), Malformed::NotText);
    }

    #[test]
    fn session_urls_give_scheme_host_and_port() {
        let url = |text: &str| text.parse::<SessionUrl>().unwrap();
        let check = |text: &str, encrypted, host: &str, port| {
            let url = url(text);
            assert_eq!((url.is_encrypted(), url.host(), url.port()), (encrypted, host, port));
            assert_eq!(url.to_string(), text);
        };
        check("rtspenc://192.168.1.50:48010", true, "192.168.1.50", 48010);
        check("rtsp://[fe80::1]:48011", false, "[fe80::1]", 48011);
        check("rtsp://[fe80::1]", false, "[fe80::1]", 48010);
        check("rtsp://153.93.170.111:0", false, "153.93.170.111", 48010);
        let address = "[::1]:5".parse().unwrap();
        assert_eq!(SessionUrl::of(address), url("rtsp://[::1]:5"));
        for text in
            ["", "rtsp://", "rtsp://:48010", "rtspru://a:1", "http://a:1", "rtsp://a b:1", "rtsp://a\r\n:1"]
        {
            assert_eq!(text.parse::<SessionUrl>(), Err(NotASessionUrl), "{text}");
        }
    }

    #[test]
    fn envelopes_that_contradict_their_length_are_refused() {
        let mut bytes = Vec::new();
        Envelope { sequence: 1, tag: [7; 16] }.emit(b"hello", &mut bytes);
        assert_eq!(Sealed::parse(&bytes[..28]).unwrap_err(), Malformed::Length { need: 29, got: 28 });
        assert_eq!(Sealed::parse(&bytes[..20]).unwrap_err(), Malformed::Length { need: 24, got: 20 });
        assert_eq!(Sealed::parse(&[]).unwrap_err(), Malformed::Empty);
        bytes.push(0);
        assert_eq!(Sealed::parse(&bytes).unwrap_err(), Malformed::Length { need: 29, got: 30 });
        bytes[0] = 0;
        assert_eq!(Sealed::parse(&bytes).unwrap_err(), Malformed::NotEncrypted);
    }

    fn headers() -> impl Strategy<Value = Headers> {
        let header = ("[A-Za-z][A-Za-z-]{0,20}", "[!-~]([ -~]{0,20}[!-~])?");
        // A body's length is checked against its header.
        let header = header.prop_filter("length", |(name, _)| !name.eq_ignore_ascii_case("content-length"));
        prop::collection::vec(header, 0..8).prop_map(Headers)
    }

    proptest! {
        #[test]
        fn any_request_builds_and_parses_back(
            method in 0usize..5, target in "[!-~]{1,40}", headers in headers(), body in "[ -~\r\n]{0,200}",
        ) {
            let all = [Method::Options, Method::Describe, Method::Setup, Method::Announce, Method::Play];
            let headers = headers.with("Content-length", body.len());
            let request = Request { method: all[method], target, headers, body };
            let mut bytes = Vec::new();
            request.emit(&mut bytes);
            prop_assert_eq!(Request::parse(&bytes), Ok(request));
        }

        #[test]
        fn any_response_builds_and_parses_back(
            status in 0u16..1000, reason in "[ -~]{0,20}", headers in headers(), body in "[ -~\r\n]{0,200}",
        ) {
            let response = Response { status, reason, headers, body };
            let mut bytes = Vec::new();
            response.emit(&mut bytes);
            prop_assert_eq!(Response::parse(&bytes), Ok(response));
        }

        #[test]
        fn any_envelope_builds_and_parses_back(
            sequence: u32, tag: [u8; 16], ciphertext in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut bytes = Vec::new();
            Envelope { sequence, tag }.emit(&ciphertext, &mut bytes);
            let sealed = Sealed::parse(&bytes).unwrap();
            prop_assert_eq!((sealed.sequence(), sealed.tag()), (sequence, tag));
            prop_assert_eq!(sealed.ciphertext(), &ciphertext[..]);
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (Request::parse(&bytes), Response::parse(&bytes));
            if let Ok(sealed) = Sealed::parse(&bytes) {
                prop_assert_eq!(sealed.ciphertext().len() + Envelope::LEN, bytes.len());
            }
        }
    }
}
