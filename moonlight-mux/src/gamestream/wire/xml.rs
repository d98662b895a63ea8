//! The XML documents of the HTTP API: a root with a status, and elements below it.
//!
//! Source: protocol document, session 5.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};

/// The longest accepted document. The longest recorded one, a `/serverinfo` with many display modes, has 6 kB; this
/// holds a list of two thousand apps.
pub(crate) const MAX_DOCUMENT: usize = 256 * 1024;

/// The most elements of a document.
pub(crate) const MAX_ELEMENTS: usize = 16 * 1024;

/// How deep elements may stand below the root; hosts go down to three.
pub(crate) const MAX_DEPTH: usize = 8;

/// Why bytes are no document of the HTTP API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Malformed {
    #[error("{got} bytes where no more than {limit} are expected")]
    Long { limit: usize, got: usize },
    #[error("it is not UTF-8 text")]
    NotText,
    #[error("it is no well-formed XML")]
    Syntax,
    /// A document type can define entities that grow without bound. No host sends one.
    #[error("it has a document type")]
    DocumentType,
    #[error("an entity is unknown")]
    Entity,
    #[error("elements stand deeper than {MAX_DEPTH} below the root")]
    Deep,
    #[error("more than {MAX_ELEMENTS} elements")]
    Elements,
    #[error("the outermost element is not the root that is expected")]
    Root,
    #[error("the root has no status code")]
    Status,
}

/// A document, in the order in which it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    /// 200 is success, whatever the status of HTTP is.
    pub(crate) status: i32,
    pub(crate) message: Option<String>,
    pub(crate) elements: Vec<Element>,
}

/// An element below the root. Those inside follow it, one deeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    /// 1 for those directly below the root.
    pub(crate) depth: usize,
    pub(crate) name: String,
    /// Without white space around it.
    pub(crate) text: String,
}

impl Document {
    /// An empty document that says success.
    pub(crate) fn success() -> Self {
        Self { status: SUCCESS, message: None, elements: Vec::new() }
    }

    /// Appends an element at that depth.
    #[must_use]
    pub(crate) fn with(mut self, depth: usize, name: &str, text: impl ToString) -> Self {
        self.elements.push(Element { depth, name: name.to_owned(), text: text.to_string() });
        self
    }

    pub(crate) fn is_success(&self) -> bool {
        self.status == SUCCESS
    }

    /// The text of the first element of that name directly below the root.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.elements
            .iter()
            .find(|element| element.depth == 1 && element.name == name)
            .map(|element| element.text.as_str())
    }

    /// What stands directly inside each element of that name directly below the root.
    pub(crate) fn records(&self, name: &str) -> impl Iterator<Item = Record<'_>> {
        let starts = self.elements.iter().enumerate();
        starts.filter(move |(_, element)| element.depth == 1 && element.name == name).map(|(start, _)| {
            let inside = &self.elements[start + 1..];
            let len = inside.iter().position(|element| element.depth == 1).unwrap_or(inside.len());
            Record(&inside[..len])
        })
    }

    /// Whatever stands behind the root's end is ignored: some hosts send a second answer there (session 22, H2, H3).
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_DOCUMENT {
            return Err(Malformed::Long { limit: MAX_DOCUMENT, got: bytes.len() });
        }
        let mut reader = Reader::from_str(str::from_utf8(bytes).map_err(|_| Malformed::NotText)?);
        let mut document = None::<Self>;
        // For each open element below the root, its place in the document.
        let mut open: Vec<usize> = Vec::new();
        loop {
            let event = reader.read_event().map_err(|_| Malformed::Syntax)?;
            let Some(document) = &mut document else {
                match event {
                    Event::Start(start) => document = Some(Self::root(&start)?),
                    Event::Empty(start) => return Self::root(&start),
                    Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
                    Event::Text(text) if text.trim().is_empty() => {}
                    Event::DocType(_) => return Err(Malformed::DocumentType),
                    _ => return Err(Malformed::Root),
                }
                continue;
            };
            match event {
                Event::Start(start) => open.push(document.open(&start, open.len() + 1)?),
                Event::Empty(start) => {
                    document.open(&start, open.len() + 1)?;
                }
                Event::End(_) => {
                    let Some(at) = open.pop() else { break };
                    let text = &mut document.elements[at].text;
                    *text = text.trim().to_owned();
                }
                Event::Text(text) => document.append(&open, &text.xml10_content()),
                Event::CData(text) => document.append(&open, &text.xml10_content()),
                Event::GeneralRef(reference) => {
                    let character = match reference.resolve_char_ref() {
                        Ok(Some(character)) => character,
                        Ok(None) => predefined(&reference).ok_or(Malformed::Entity)?,
                        Err(_) => return Err(Malformed::Entity),
                    };
                    document.append(&open, character.encode_utf8(&mut [0; 4]));
                }
                Event::Comment(_) | Event::PI(_) => {}
                Event::DocType(_) => return Err(Malformed::DocumentType),
                Event::Decl(_) | Event::Eof => return Err(Malformed::Syntax),
            }
        }
        document.ok_or(Malformed::Root)
    }

    /// Appends the document as hosts write it.
    pub(crate) fn emit(&self, out: &mut String) {
        out.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
        let mut root = format!("root status_code=\"{}\"", self.status);
        if let Some(message) = &self.message {
            root.push_str(&format!(" status_message=\"{}\"", escape(message)));
        }
        let mut open = Vec::new();
        let elements = self.elements.iter().map(|element| (element.depth, &*element.name, &*element.text));
        let mut all = std::iter::once((0, root.as_str(), "")).chain(elements).peekable();
        while let Some((depth, name, text)) = all.next() {
            let inside = all.peek().map_or(0, |(next, ..)| *next);
            if text.is_empty() && inside <= depth {
                out.push_str(&format!("<{name}/>"));
            } else {
                out.push_str(&format!("<{name}>{}", escape(text)));
                open.push(name);
            }
            let keep = if inside > depth { open.len() } else { inside.min(open.len()) };
            for name in open.drain(keep..).rev() {
                out.push_str(&format!("</{}>", name.split(' ').next().unwrap_or(name)));
            }
        }
    }

    fn root(start: &BytesStart<'_>) -> Result<Self, Malformed> {
        if start.name().as_ref() != "root" {
            return Err(Malformed::Root);
        }
        let mut document = Self { status: 0, message: None, elements: Vec::new() };
        let mut status = None;
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| Malformed::Syntax)?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| Malformed::Entity)?;
            match attribute.key.as_ref() {
                // GFE writes -1 as unsigned (session 5, rule 6).
                "status_code" => status = value.trim().parse::<i64>().ok().map(|status| status as i32),
                "status_message" => document.message = Some(value.into_owned()),
                _ => {}
            }
        }
        document.status = status.ok_or(Malformed::Status)?;
        Ok(document)
    }

    fn open(&mut self, start: &BytesStart<'_>, depth: usize) -> Result<usize, Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed::Deep);
        }
        if self.elements.len() == MAX_ELEMENTS {
            return Err(Malformed::Elements);
        }
        let name = start.name().as_ref().to_owned();
        // The reader takes whatever stands there.
        if !is_name(&name) {
            return Err(Malformed::Syntax);
        }
        self.elements.push(Element { depth, name, text: String::new() });
        Ok(self.elements.len() - 1)
    }

    fn append(&mut self, open: &[usize], text: &str) {
        if let Some(&at) = open.last() {
            self.elements[at].text.push_str(text);
        }
    }
}

/// What stands inside one of several elements of the same name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a>(&'a [Element]);

impl<'a> Record<'a> {
    /// The text of the first element of that name.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|element| element.depth == 2 && element.name == name)
            .map(|element| element.text.as_str())
    }
}

/// Whether an element may be called so, as far as it matters here: nothing in it ends a tag or begins an attribute.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | ':'))
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '-' | '.'))
}

/// The entities that need no definition.
fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}

const SUCCESS: i32 = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Document, Malformed> {
        Document::parse(text.as_bytes())
    }

    #[test]
    fn documents_of_hosts_parse_and_build_back() {
        for root in [
            r#"<root status_code="404"/>"#,
            r#"<root status_code="200"><cancel>1</cancel></root>"#,
            r#"<root status_code="200"><App><AppTitle/><ID>1</ID></App><App><ID>2</ID></App></root>"#,
            r#"<root status_code="200"><App><M><W>1</W></M></App><b>&amp;&lt;</b></root>"#,
            r#"<root status_code="503" status_message="The host&apos;s limit"><resume>0</resume></root>"#,
        ] {
            let text = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n{root}");
            let mut built = String::new();
            parse(&text).unwrap().emit(&mut built);
            assert_eq!(built, text);
        }
    }

    #[test]
    fn elements_are_found_where_they_belong() {
        let document = parse(
            "<root status_code='200'><x><ID>0</ID></x><App> <ID>\n7 </ID><a><ID>8</ID></a></App>\
             <ID>1</ID><App><![CDATA[<]]>&#x41;</App></root>",
        )
        .unwrap();
        assert_eq!(document.text("ID"), Some("1"));
        assert_eq!(document.text("W"), None);
        let ids: Vec<_> = document.records("App").map(|app| app.text("ID")).collect();
        assert_eq!(ids, [Some("7"), None]);
        assert_eq!(document.elements.last().unwrap().text, "<A");
    }

    #[test]
    fn a_status_is_32_bits_and_what_follows_the_root_is_ignored() {
        assert_eq!(parse(r#"<root status_code="4294967295"/>"#).unwrap().status, -1);
        assert_eq!(parse(r#"<root status_code="-1"/>"#).unwrap().status, -1);
        let two = r#"<root status_code="200"><resume>1</resume></root>HTTP/1.1 400 Bad <root"#;
        assert!(parse(two).unwrap().is_success());
    }

    #[test]
    fn what_could_grow_without_bound_is_refused() {
        let bomb =
            r#"<!DOCTYPE root [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><root status_code="200">&b;</root>"#;
        assert_eq!(parse(bomb), Err(Malformed::DocumentType));
        assert_eq!(parse(r#"<root status_code="200"><a>&b;</a></root>"#), Err(Malformed::Entity));
        assert_eq!(parse(r#"<root status_code="200" status_message="&b;"/>"#), Err(Malformed::Entity));
        let nested = |depth: usize| {
            format!(r#"<root status_code="200">{}{}</root>"#, "<a>".repeat(depth), "</a>".repeat(depth))
        };
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(parse(&nested(MAX_DEPTH + 1)), Err(Malformed::Deep));
        let many = format!(r#"<root status_code="200">{}</root>"#, "<a/>".repeat(MAX_ELEMENTS + 1));
        assert_eq!(parse(&many), Err(Malformed::Elements));
        let long = " ".repeat(MAX_DOCUMENT + 1);
        assert_eq!(parse(&long), Err(Malformed::Long { limit: MAX_DOCUMENT, got: MAX_DOCUMENT + 1 }));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        assert_eq!(Document::parse(b"\xff"), Err(Malformed::NotText));
        assert_eq!(parse(""), Err(Malformed::Root));
        assert_eq!(parse("text"), Err(Malformed::Root));
        assert_eq!(parse("<html/>"), Err(Malformed::Root));
        assert_eq!(parse("<root/>"), Err(Malformed::Status));
        assert_eq!(parse(r#"<root status_code="ok"/>"#), Err(Malformed::Status));
        for cut in [r#"<root status_code="200">"#, r#"<root status_code="200"><a></b></root>"#, "<root "] {
            assert_eq!(parse(cut), Err(Malformed::Syntax), "{cut}");
        }
        for name in ["a\"b", "a'b", "a=b", "1", "-a", "a&b"] {
            let named = format!(r#"<root status_code="200"><{name}/></root>"#);
            assert_eq!(parse(&named), Err(Malformed::Syntax), "{name}");
        }
        assert!(parse(r#"<root status_code="200"><_a:b-c.1é/></root>"#).is_ok());
    }

    fn documents() -> impl Strategy<Value = Document> {
        let text = "([!-~é\u{200b}]([ -~]{0,10}[!-~])?)?";
        let element = (1usize..=MAX_DEPTH, "[A-Za-z][A-Za-z0-9]{0,8}", text);
        let elements = prop::collection::vec(element, 0..20).prop_map(|elements| {
            let mut last = 0;
            elements
                .into_iter()
                .map(|(depth, name, text)| {
                    last = depth.min(last + 1);
                    Element { depth: last, name, text }
                })
                .collect()
        });
        (any::<i32>(), proptest::option::of("[ -~]{0,20}"), elements)
            .prop_map(|(status, message, elements)| Document { status, message, elements })
    }

    proptest! {
        #[test]
        fn any_document_builds_and_parses_back(document in documents()) {
            let mut text = String::new();
            document.emit(&mut text);
            prop_assert_eq!(parse(&text), Ok(document));
        }

        #[test]
        fn any_text_is_taken_or_refused(
            text in "(<root status_code=\"200\">)?(<|>|</|/>|&|;|a|\"|<!DOCTYPE|<!\\[CDATA\\[|\\]\\]>|#x|root|.){0,40}",
        ) {
            let _ = parse(&text);
        }
    }
}
