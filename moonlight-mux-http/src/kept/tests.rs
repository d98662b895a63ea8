use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A state directory of this test's own, removed with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("moonlight-mux-http-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(crate) fn open(&self) -> KeptStreamers {
        KeptStreamers::open(&StateDirectory::open(&self.0).unwrap()).unwrap()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Nothing can be written as long as this lives.
    pub(crate) fn refuse(&self) -> Refusing {
        // Where the temporary file would be.
        let way = self.file().with_extension("new");
        fs::create_dir(&way).unwrap();
        Refusing(way)
    }
}

pub(crate) struct Refusing(PathBuf);

impl Drop for Refusing {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// As a request that was taken keeps it.
pub(crate) fn kept(id: &str, mode: InputMode) -> Kept {
    let mut request = Fields::from(json!({"streamer_id": id, "host_id": 0, "app_id": 1, "persistent": true}));
    input::put_mode(&mut request, mode);
    Kept { address: "127.0.0.1:47989".parse().unwrap(), request }
}

fn id(text: &str) -> StreamerId {
    text.parse().unwrap()
}

fn book(streamers: impl IntoIterator<Item = Kept>) -> Book {
    let mut book = Book::default();
    for kept in streamers {
        let (request, _) = kept.understood().unwrap();
        book.insert(request.streamer_id, kept);
    }
    book
}

#[tokio::test]
async fn what_is_written_is_there_again_and_what_is_removed_is_not() {
    let scratch = Scratch::new("again");
    {
        let streamers = scratch.open();
        for name in ["a", "b", "c"] {
            streamers.insert(id(name), kept(name, InputMode::Shared));
        }
        streamers.remove(&id("b")).unwrap();
        assert!(streamers.set_input_mode(&id("c"), InputMode::ViewOnly));
        assert!(!streamers.set_input_mode(&id("b"), InputMode::ViewOnly));
        streamers.write().await.unwrap();
        // Not written, and so forgotten.
        streamers.insert(id("d"), kept("d", InputMode::Shared));
    }
    let streamers = scratch.open();
    assert_eq!(streamers.damaged(), None);
    let listed = streamers.list().into_iter().map(|(id, _, kept)| (id.to_string(), kept));
    let expected = [("a", InputMode::Shared), ("c", InputMode::ViewOnly)];
    assert_eq!(listed.collect::<Vec<_>>(), expected.map(|(name, mode)| (name.to_owned(), kept(name, mode))));
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let scratch = Scratch::new("mode");
    scratch.open().write().await.unwrap();
    assert_eq!(fs::metadata(scratch.file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_damaged_file_is_set_aside_and_told_of_and_a_newer_one_is_left_alone() {
    let scratch = Scratch::new("damaged");
    let directory = StateDirectory::open(scratch.path()).unwrap();
    let entry = |request: Value| json!({"host_address": "pc", "request": request});
    let whole = json!({"streamer_id": "a", "host_id": 0, "app_id": 1});
    for (document, reason) in [
        (json!({"schema": 1}), "missing field `streamers`"),
        (json!({"schema": 1, "streamers": [entry(json!({}))]}), "streamers[0]: streamer_id is missing"),
        (
            json!({"schema": 1, "streamers": [
                entry(whole.clone()),
                entry(json!({"streamer_id": "b", "host_id": 0, "app_id": 1, "fps": 0})),
            ]}),
            "streamers[1]: fps has to be a whole number from 1 to 1000",
        ),
        (
            json!({"schema": 1, "streamers": [{"host_address": "a:b", "request": whole.clone()}]}),
            "streamers[0]: host_address: ",
        ),
    ] {
        directory.store(FILE, document.to_string().as_bytes()).unwrap();
        let streamers = KeptStreamers::open(&directory).unwrap();
        let damaged = streamers.damaged().unwrap();
        assert!(damaged.reason.starts_with(reason), "{damaged:?}");
        assert_eq!(fs::read_to_string(&damaged.set_aside).unwrap(), document.to_string());
        assert!(streamers.list().is_empty() && !scratch.file().exists());
    }
    directory.store(FILE, b"{\"schema\":2}").unwrap();
    let error = KeptStreamers::open(&directory).unwrap_err();
    assert!(matches!(error, StateError::Newer { schema: 2, .. }), "{error}");
    assert_eq!(fs::read(scratch.file()).unwrap(), b"{\"schema\":2}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_told_and_stays_what_it_was() {
    let scratch = Scratch::new("unwritable");
    let streamers = scratch.open();
    streamers.insert(id("a"), kept("a", InputMode::Shared));
    streamers.write().await.unwrap();
    let before = fs::read(scratch.file()).unwrap();
    let _disk = scratch.refuse();
    streamers.insert(id("b"), kept("b", InputMode::Shared));
    streamers.write().await.unwrap_err();
    assert_eq!(fs::read(scratch.file()).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writes_at_once_the_last_state_is_on_the_disk() {
    let scratch = Scratch::new("many");
    let streamers = scratch.open();
    let mut writes = JoinSet::new();
    for n in 0..32 {
        let streamers = streamers.clone();
        writes.spawn(async move {
            let name = format!("s{n}");
            streamers.insert(id(&name), kept(&name, InputMode::Shared));
            streamers.write().await.unwrap();
        });
    }
    writes.join_all().await;
    drop(streamers);
    assert_eq!(scratch.open().list().len(), 32);
}

#[test]
fn a_ticket_is_good_for_one_declaration() {
    let scratch = Scratch::new("ticket");
    let streamers = scratch.open();
    let first = streamers.insert(id("a"), kept("a", InputMode::Shared));
    let second = streamers.insert(id("a"), kept("a", InputMode::ViewOnly));
    assert_eq!(streamers.while_current(&id("a"), first, |_| ()), None);
    let mode = streamers.while_current(&id("a"), second, |kept| kept.understood().unwrap().1);
    assert_eq!(mode, Some(InputMode::ViewOnly));
    assert!(!streamers.remove_if_current(&id("a"), first) && streamers.contains(&id("a")));
    assert!(streamers.remove_if_current(&id("a"), second) && !streamers.contains(&id("a")));
}

#[tokio::test]
async fn a_change_is_on_the_disk_before_it_is_made_and_not_when_that_is_refused() {
    let scratch = Scratch::new("change");
    let streamers = scratch.open();
    let (file, all) = (scratch.file(), streamers.clone());
    let written = move || parse(&fs::read(&file).unwrap()).unwrap().into_keys().collect::<Vec<_>>();
    streamers.insert(id("a"), kept("a", InputMode::Shared));
    for (of, draft, seen) in [("b", Some(kept("b", InputMode::Shared)), &["a", "b"][..]), ("a", None, &[])] {
        let (written, seen) = (written.clone(), seen.iter().map(|name| id(name)).collect::<Vec<_>>());
        let refuse = move || {
            assert_eq!(written(), seen);
            Err::<(), _>(())
        };
        streamers.change(id(of), draft, refuse).await.unwrap().unwrap_err();
    }
    assert_eq!(written(), [id("a")], "as it is here");
    let keep = move || Ok::<_, ()>(all.insert(id("b"), kept("b", InputMode::Shared)));
    streamers.change(id("b"), Some(kept("b", InputMode::Shared)), keep).await.unwrap().unwrap();
    let disk = scratch.refuse();
    let never = || -> Result<(), ()> { panic!("the disk has refused") };
    streamers.change(id("b"), None, never).await.unwrap_err();
    drop(disk);
    assert_eq!(written(), [id("a"), id("b")]);
}

fn any_kept() -> impl Strategy<Value = Kept> {
    let mode = prop_oneof![
        Just(InputMode::Shared),
        Just(InputMode::ViewOnly),
        (100_u64..=60_000)
            .prop_map(|ms| InputMode::OneAtATime { idle: std::time::Duration::from_millis(ms) }),
    ];
    let app = prop_oneof![
        (1_u32..9).prop_map(Value::from).prop_map(|id| ("app_id", id)),
        ".{1,9}".prop_filter_map("a title", |title| {
            (!title.contains(char::is_control)).then(|| ("app", Value::from(title)))
        })
    ];
    ("[A-Za-z0-9._-]{1,128}", "[a-z0-9.-]{1,40}", 1_u16.., any::<u32>(), app, mode).prop_map(
        |(name, host, port, host_id, (field, app), mode)| {
            let mut request = Fields::from(json!({"streamer_id": name, "host_id": host_id, field: app}));
            input::put_mode(&mut request, mode);
            Kept { address: HostAddress::new(&host, port).unwrap(), request }
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_kept_reads_back(streamers in prop::collection::vec(any_kept(), 0..4)) {
        let book = book(streamers);
        let expected: BTreeMap<_, _> = book.by_id.iter().map(|(id, (_, kept))| (id.clone(), kept.clone())).collect();
        prop_assert_eq!(parse(&emit(&book, None)), Ok(expected));
    }

    #[test]
    fn any_text_is_taken_or_refused(
        text in r#"(\{"schema":1|,"streamers":\[|\{"host_address":"pc","request":\{|"streamer_id":"a"|,"host_id":0|,"app_id":1|\}|\]|.){0,12}"#
    ) {
        let _ = parse(text.as_bytes());
    }
}
