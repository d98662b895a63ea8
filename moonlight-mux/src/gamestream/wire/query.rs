//! The targets of the HTTP API's requests: a path, and parameters behind it.
//!
//! Source: protocol document, session 5, rule 2.

use std::fmt::{self, Write as _};

/// The longest accepted target: with a certificate in hexadecimal it has about 2500 bytes.
pub(crate) const MAX_TARGET: usize = 16 * 1024;

/// The most parameters; clients send up to 20.
pub(crate) const MAX_PARAMETERS: usize = 64;

/// Why text is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Malformed {
    #[error("{got} bytes where no more than {limit} are expected")]
    Long { limit: usize, got: usize },
    #[error("more than {MAX_PARAMETERS} parameters")]
    Parameters,
    #[error("a % has no two digits behind it, or they make no UTF-8 text")]
    Percent,
}

/// A path and its parameters. They may be secret, so only names are printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// With the `/` in front.
    pub(crate) path: String,
    parameters: Vec<(String, String)>,
}

impl Target {
    pub(crate) fn new(path: &str) -> Self {
        Self { path: path.to_owned(), parameters: Vec::new() }
    }

    /// Appends a parameter.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.parameters.push((name.to_owned(), value.to_string()));
        self
    }

    /// The value of the first parameter of that name, in whatever case.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        let parameter = self.parameters.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        parameter.map(|(_, value)| value.as_str())
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > MAX_TARGET {
            return Err(Malformed::Long { limit: MAX_TARGET, got: text.len() });
        }
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let mut parameters = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            if parameters.len() == MAX_PARAMETERS {
                return Err(Malformed::Parameters);
            }
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            parameters.push((decode(name)?, decode(value)?));
        }
        Ok(Self { path: path.to_owned(), parameters })
    }

    pub(crate) fn emit(&self, out: &mut String) {
        out.push_str(&self.path);
        for (i, (name, value)) in self.parameters.iter().enumerate() {
            out.push(if i == 0 { '?' } else { '&' });
            encode(name, out);
            out.push('=');
            encode(value, out);
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.parameters.iter().map(|(name, _)| name).collect();
        f.debug_struct("Target").field("path", &self.path).field("parameters", &names).finish()
    }
}

fn decode(text: &str) -> Result<String, Malformed> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let decoded = digits.and_then(super::hex::decode_array::<1>).ok_or(Malformed::Percent)?;
        bytes.extend(decoded);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| Malformed::Percent)
}

fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => write!(out, "%{byte:02X}").expect("text can be appended to"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_values_are_decoded() {
        let target = Target::parse("/pair?UniqueID=1&a=b%20c%C3%a9&flag&a=second&").unwrap();
        assert_eq!(target.path, "/pair");
        assert_eq!(target.find("uniqueid"), Some("1"));
        assert_eq!((target.find("a"), target.find("flag")), (Some("b cé"), Some("")));
        assert_eq!(target.find("b"), None);
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for text in ["/?a=%", "/?a=%4", "/?a=%zz", "/?a=%é", "/?%ff=1"] {
            assert_eq!(Target::parse(text), Err(Malformed::Percent), "{text}");
        }
        let many = format!("/?{}", "a=1&".repeat(MAX_PARAMETERS + 1));
        assert_eq!(Target::parse(&many), Err(Malformed::Parameters));
        let long = "x".repeat(MAX_TARGET + 1);
        assert_eq!(Target::parse(&long), Err(Malformed::Long { limit: MAX_TARGET, got: MAX_TARGET + 1 }));
    }

    #[test]
    fn values_are_not_printed() {
        let printed = format!("{:?}", Target::new("/launch").with("rikey", "c0ffee"));
        assert_eq!(printed, r#"Target { path: "/launch", parameters: ["rikey"] }"#);
    }

    proptest! {
        #[test]
        fn any_target_builds_and_parses_back(
            path in "/[a-z]{0,10}", parameters in prop::collection::vec((".{1,8}", ".{0,8}"), 0..8),
        ) {
            let target = parameters.iter().fold(Target::new(&path), |target, (name, value)| target.with(name, value));
            let mut text = String::new();
            target.emit(&mut text);
            prop_assert_eq!(Target::parse(&text), Ok(target));
        }

        #[test]
        fn any_text_is_taken_or_refused(text in "(%|[?&=]|.){0,40}") {
            let _ = Target::parse(&text);
        }
    }
}
