//! What is kept on disk, and how: whole files, for their owner alone, by one program at a time.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use x509_parser::pem::parse_x509_pem;

use crate::gamestream::address::HostAddress;
use crate::gamestream::identity::{Identity, IdentityError, IdentityName};
use crate::gamestream::pairing::certificate::{Certificate, Unusable};
use crate::gamestream::pairing::wipe;
use crate::gamestream::wire::wake::MacAddress;

use super::HostsError;

/// A directory that is ours as long as this lives.
#[derive(Debug)]
pub(super) struct StateDirectory {
    path: PathBuf,
    damaged: Option<Damaged>,
    /// Locked.
    _lock: File,
}

/// What a program kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) hosts: BTreeMap<u32, KeptHost>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeptHost {
    pub(super) address: HostAddress,
    pub(super) name: String,
    pub(super) mac: Option<MacAddress>,
    pub(super) paired: BTreeMap<IdentityName, Certificate>,
}

/// A file that was found damaged, and is kept under another name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damaged {
    /// Where it is now.
    pub set_aside: PathBuf,
    /// What is wrong with it, for people.
    pub reason: String,
}

/// A state directory that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The system says no.
    #[error("{} cannot be used: {error}", .path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Another program uses it.
    #[error("{} is in use by another program", .path.display())]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error("{} was written by a newer version (schema {schema})", .path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        schema: u32,
    },
    /// An identity's files are no certificate and key that belong together.
    #[error("the identity in {} is damaged: {error}", .path.display())]
    Identity {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: IdentityError,
    },
}

impl StateDirectory {
    pub(super) fn open(path: &Path) -> Result<(Self, Kept), StateError> {
        make_directory(path)?;
        let lock_path = path.join("lock");
        let lock = private_file(&lock_path, OpenOptions::new().create(true).truncate(false))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(StateError::Io { path: lock_path, error }),
        }
        let file = path.join(HOSTS);
        let read = read(&file).map_err(|error| StateError::Io { path: file.clone(), error })?;
        let (kept, damaged) = match read.map(|bytes| parse(&bytes)) {
            None => (Kept::default(), None),
            Some(Ok(kept)) => (kept, None),
            Some(Err(Unreadable::Newer(schema))) => return Err(StateError::Newer { path: file, schema }),
            Some(Err(Unreadable::Damaged(reason))) => (Kept::default(), Some(set_aside(&file, reason)?)),
        };
        Ok((Self { path: path.to_owned(), damaged, _lock: lock }, kept))
    }

    pub(super) fn damaged(&self) -> Option<&Damaged> {
        self.damaged.as_ref()
    }

    pub(super) fn keep(&self, kept: &Kept) -> Result<(), StateError> {
        write(&self.path.join(HOSTS), &emit(kept))
    }

    /// The identity that is kept under this name; a new one when there is none.
    pub(super) fn identity(&self, name: &IdentityName) -> Result<Identity, HostsError> {
        // `.` and `..` are names too.
        let path = self.path.join("identities").join(format!("{name}.identity"));
        let (certificate, key) = (path.join("certificate.pem"), path.join("key.pem"));
        let file = |path: &Path| read(path).map_err(|error| StateError::Io { path: path.to_owned(), error });
        if let Some(pem) = file(&certificate)? {
            // Without its key it was one, and hosts know it.
            let mut key = file(&key)?.unwrap_or_default();
            let pkcs8 = parse_x509_pem(&key).map(|(_, pem)| pem.contents);
            wipe(&mut key);
            let identity = match pkcs8 {
                Ok(pkcs8) => Identity::from_parts(pem, pkcs8),
                Err(_) => Err(Unusable::Key.into()),
            };
            return Ok(identity.map_err(|error| StateError::Identity { path, error })?);
        }
        let identity = Identity::generate()?;
        make_directory(&self.path.join("identities"))?;
        make_directory(&path)?;
        let mut pem = pem("PRIVATE KEY", identity.key_pkcs8());
        let written = write(&key, &pem);
        wipe(&mut pem);
        written?;
        // The last: an identity without it is none.
        write(&certificate, identity.certificate_pem())?;
        Ok(identity)
    }
}

/// `hosts.json`.
#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    hosts: Vec<Host>,
}

#[derive(Deserialize)]
struct Versioned {
    schema: u32,
}

#[derive(Serialize, Deserialize)]
struct Host {
    id: u32,
    address: String,
    #[serde(default)]
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    /// Identities, and what the host showed each of them: DER in base64.
    #[serde(default)]
    paired: BTreeMap<String, String>,
}

enum Unreadable {
    Newer(u32),
    Damaged(String),
}

fn parse(bytes: &[u8]) -> Result<Kept, Unreadable> {
    let damaged = |reason: String| Unreadable::Damaged(reason);
    let Versioned { schema } = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if schema > SCHEMA {
        return Err(Unreadable::Newer(schema));
    }
    let document: Document = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    let mut hosts = BTreeMap::new();
    for Host { id, address, name, mac, paired } in document.hosts {
        let address = address.parse().map_err(|error| damaged(format!("host {id}: {error}")))?;
        let mac =
            mac.map(|mac| mac.parse().map_err(|error| damaged(format!("host {id}: {error}")))).transpose()?;
        let paired = paired.into_iter().map(|(identity, certificate)| {
            let name = identity.parse().map_err(|error| damaged(format!("host {id}: {error}")))?;
            let der = BASE64_STANDARD.decode(certificate);
            let der = der.map_err(|error| damaged(format!("host {id}, {identity}: {error}")))?;
            let certificate = Certificate::from_der(der);
            Ok((name, certificate.map_err(|error| damaged(format!("host {id}, {identity}: {error}")))?))
        });
        let paired = paired.collect::<Result<_, _>>()?;
        hosts.insert(id, KeptHost { address, name, mac, paired });
    }
    Ok(Kept { hosts })
}

fn emit(kept: &Kept) -> Vec<u8> {
    let hosts = kept.hosts.iter().map(|(&id, host)| Host {
        id,
        address: host.address.to_string(),
        name: host.name.clone(),
        mac: host.mac.map(|mac| mac.to_string()),
        paired: host
            .paired
            .iter()
            .map(|(identity, certificate)| (identity.to_string(), BASE64_STANDARD.encode(certificate.der())))
            .collect(),
    });
    let document = Document { schema: SCHEMA, hosts: hosts.collect() };
    let mut json = serde_json::to_vec_pretty(&document).expect("numbers and strings are JSON");
    json.push(b'\n');
    json
}

fn pem(label: &str, contents: &[u8]) -> Vec<u8> {
    let mut base64 = BASE64_STANDARD.encode(contents).into_bytes();
    let mut text = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in base64.chunks(64) {
        text.extend(line);
        text.push(b'\n');
    }
    wipe(&mut base64);
    text.extend(format!("-----END {label}-----\n").into_bytes());
    text
}

/// `None` when there is no such file.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Never half a file: a new one takes the old one's place when all of it is on the disk.
fn write(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| StateError::Io { path, error }
    };
    let temporary = path.with_extension("new");
    let mut file = private_file(&temporary, OpenOptions::new().create(true).truncate(true))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&temporary))?;
    fs::rename(&temporary, path).map_err(at(path))?;
    // The new name has to reach the disk too.
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(at(directory))?;
    }
    Ok(())
}

fn set_aside(file: &Path, reason: String) -> Result<Damaged, StateError> {
    let free = (1..).map(|n| file.with_extension(format!("damaged-{n}"))).find(|path| !path.exists());
    let set_aside = free.expect("there are more numbers than files");
    fs::rename(file, &set_aside).map_err(|error| StateError::Io { path: file.to_owned(), error })?;
    tracing::error!(file = %file.display(), set_aside = %set_aside.display(), reason, "a damaged file was set aside");
    Ok(Damaged { set_aside, reason })
}

fn make_directory(path: &Path) -> Result<(), StateError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| StateError::Io { path: path.to_owned(), error })
}

fn private_file(path: &Path, options: &mut OpenOptions) -> Result<File, StateError> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    let file = options.write(true).open(path);
    file.map_err(|error| StateError::Io { path: path.to_owned(), error })
}

const HOSTS: &str = "hosts.json";
const SCHEMA: u32 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gamestream::pairing::tests::document;

    fn host() -> impl Strategy<Value = KeptHost> {
        let names = prop::collection::btree_set("[A-Za-z0-9._-]{1,128}", 0..3);
        let mac = prop::option::of(any::<[u8; 6]>());
        ("[a-z0-9.-]{1,40}", 1u16.., ".{0,20}", mac, names).prop_map(|(host, port, name, mac, names)| {
            let certificate = Certificate::from_pem(document::CLIENT_CERTIFICATE.as_bytes()).unwrap();
            let paired = names.into_iter().map(|name| (name.parse().unwrap(), certificate.clone()));
            let address = HostAddress::new(&host, port).unwrap();
            KeptHost { address, name, mac: mac.map(MacAddress), paired: paired.collect() }
        })
    }

    proptest! {
        #[test]
        fn whatever_is_kept_reads_back(hosts in prop::collection::btree_map(any::<u32>(), host(), 0..4)) {
            let kept = Kept { hosts };
            let read = parse(&emit(&kept)).unwrap_or_else(|_| panic!("what is kept can be read"));
            prop_assert_eq!(read, kept);
        }

        #[test]
        fn any_text_is_taken_or_refused(text in r#"(\{"schema":[0-9]|,"hosts":\[|\{"id":1,"address":"pc"|\}|\]|.){0,12}"#) {
            let _ = parse(text.as_bytes());
        }
    }
}
