//! `rtsp.txt`: an RTSP dialogue in clear, message by message.
//!
//! ```text
//! ===== client -> host  t=1795355188.363115  89 bytes
//! <89 bytes>
//! ===== host -> client  t=1795355188.363715  28 bytes
//! <28 bytes>
//! ```

use crate::gamestream::wire::rtsp::{Request, Response, Sender};

/// The messages of a dialogue, in order.
#[derive(Debug)]
pub(crate) struct Transcript(Vec<Message>);

/// A message, and who sent it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) sender: Sender,
    pub(crate) bytes: Vec<u8>,
}

/// At this byte of the file no message begins, or it has fewer bytes than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMessage {
    pub(crate) offset: usize,
}

impl Transcript {
    pub(crate) fn parse(file: &[u8]) -> Result<Self, NoMessage> {
        let mut messages = Vec::new();
        let mut rest = file;
        while !rest.is_empty() {
            let no_message = NoMessage { offset: file.len() - rest.len() };
            let (message, behind) = Message::parse(rest).ok_or(no_message)?;
            messages.push(message);
            rest = behind;
        }
        Ok(Self(messages))
    }

    pub(crate) fn messages(&self) -> &[Message] {
        &self.0
    }

    /// The requests that can be read and are answered by what can be read.
    pub(crate) fn exchanges(&self) -> impl Iterator<Item = (Request, Response)> {
        self.0.windows(2).filter_map(|pair| match pair {
            [Message { sender: Sender::Client, bytes }, Message { sender: Sender::Host, bytes: answer }] => {
                Some((Request::parse(bytes).ok()?, Response::parse(answer).ok()?))
            }
            _ => None,
        })
    }
}

impl Message {
    /// The one at the front, and what stands behind it.
    fn parse(file: &[u8]) -> Option<(Self, &[u8])> {
        let (line, rest) = file.split_at_checked(file.iter().position(|&byte| byte == b'\n')?)?;
        let words: Vec<&str> = str::from_utf8(line).ok()?.split_ascii_whitespace().collect();
        let (sender, len) = match words[..] {
            ["=====", "client", "->", "host", .., len, "bytes"] => (Sender::Client, len),
            ["=====", "host", "->", "client", .., len, "bytes"] => (Sender::Host, len),
            _ => return None,
        };
        let (bytes, rest) = rest[1..].split_at_checked(len.parse().ok()?)?;
        let message = Self { sender, bytes: bytes.to_vec() };
        // The last line end may be cut off.
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix(b"\n")? };
        Some((message, rest))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file of these messages, the client's first, then in turn.
    pub(in crate::recording) fn transcript(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        for (i, message) in messages.iter().enumerate() {
            let ends = if i % 2 == 0 { "client -> host" } else { "host -> client" };
            file.extend(format!("===== {ends}  t=1.5  {} bytes\n", message.len()).into_bytes());
            file.extend(message);
            file.push(b'\n');
        }
        file
    }

    #[test]
    fn messages_come_with_their_senders() {
        let file = transcript(&[b"PLAY /\r\n\r\n".to_vec(), b"===== client\n".to_vec(), vec![]]);
        let messages = Transcript::parse(&file).unwrap().0;
        assert_eq!(
            messages.iter().map(|m| m.sender == Sender::Client).collect::<Vec<_>>(),
            [true, false, true]
        );
        assert_eq!(messages[1].bytes, b"===== client\n");
        assert_eq!(Transcript::parse(&file[..file.len() - 1]).unwrap().0, messages);
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_place() {
        let file = transcript(&[b"12345".to_vec(), b"678".to_vec()]);
        let second = file.windows(5).rposition(|window| window == b"=====").unwrap();
        let refused = |file: &[u8]| Transcript::parse(file).unwrap_err().offset;
        assert_eq!(refused(&file[..second - 2]), 0, "a byte too few");
        assert_eq!(refused(&file[..file.len() - 2]), second);
        let with = |from: &str, to: &str| {
            refused(String::from_utf8(file.clone()).unwrap().replace(from, to).as_bytes())
        };
        assert_eq!(with("3 bytes", "2 bytes"), second);
        assert_eq!(with("3 bytes", "99999999999999999999999 bytes"), second);
        assert_eq!(with("host -> client", "host -> host"), second);
        assert_eq!(refused(b"\xff"), 0);
        assert_eq!(refused(b"\xff\n"), 0);
    }
}
