//! What of hosts and identities is kept on disk.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use x509_parser::pem::parse_x509_pem;

use crate::gamestream::address::HostAddress;
use crate::gamestream::identity::{Identity, IdentityName};
use crate::gamestream::pairing::certificate::{Certificate, Unusable};
use crate::gamestream::pairing::wipe;
use crate::gamestream::wire::wake::MacAddress;
use crate::state_dir::{Damaged, Loaded, StateDirectory, StateError, make_directory, read, write};

use super::HostsError;

/// A directory with hosts and identities.
#[derive(Debug)]
pub(super) struct HostsDirectory {
    directory: StateDirectory,
    damaged: Option<Damaged>,
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

impl HostsDirectory {
    pub(super) fn open(path: &Path) -> Result<(Self, Kept), StateError> {
        let directory = StateDirectory::open(path)?;
        let Loaded { kept, damaged } = directory.load(HOSTS, SCHEMA, parse)?;
        Ok((Self { directory, damaged }, kept.unwrap_or_default()))
    }

    pub(super) fn directory(&self) -> &StateDirectory {
        &self.directory
    }

    pub(super) fn damaged(&self) -> Option<&Damaged> {
        self.damaged.as_ref()
    }

    pub(super) fn keep(&self, kept: &Kept) -> Result<(), StateError> {
        self.directory.store(HOSTS, &emit(kept))
    }

    /// The identity that is kept under this name; a new one when there is none.
    pub(super) fn identity(&self, name: &IdentityName) -> Result<Identity, HostsError> {
        // `.` and `..` are names too.
        let path = self.directory.path().join("identities").join(format!("{name}.identity"));
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
        make_directory(&self.directory.path().join("identities"))?;
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

fn parse(bytes: &[u8]) -> Result<Kept, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut hosts = BTreeMap::new();
    for Host { id, address, name, mac, paired } in document.hosts {
        let address = address.parse().map_err(|error| format!("host {id}: {error}"))?;
        let mac = mac.map(|mac| mac.parse().map_err(|error| format!("host {id}: {error}"))).transpose()?;
        let paired = paired.into_iter().map(|(identity, certificate)| {
            let name = identity.parse().map_err(|error| format!("host {id}: {error}"))?;
            let der = BASE64_STANDARD.decode(certificate);
            let der = der.map_err(|error| format!("host {id}, {identity}: {error}"))?;
            let certificate = Certificate::from_der(der);
            Ok((name, certificate.map_err(|error| format!("host {id}, {identity}: {error}"))?))
        });
        let paired = paired.collect::<Result<_, String>>()?;
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
            let read = parse(&emit(&kept)).expect("what is kept can be read");
            prop_assert_eq!(read, kept);
        }

        #[test]
        fn any_text_is_taken_or_refused(text in r#"(\{"schema":[0-9]|,"hosts":\[|\{"id":1,"address":"pc"|\}|\]|.){0,12}"#) {
            let _ = parse(text.as_bytes());
        }
    }
}
