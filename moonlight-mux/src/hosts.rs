//! The hosts and identities of a program, kept between its runs.

mod state;
#[cfg(test)]
mod tests;
mod wake;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::num::ParseIntError;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Mutex as AsyncMutex;

use self::state::{HostsDirectory, Kept, KeptHost};
use crate::gamestream::address::HostAddress;
use crate::gamestream::host::{Host, HostConfig, HostError, HostInfo, PairingMethod, Turns};
use crate::gamestream::identity::{Identity, IdentityError, IdentityName};
use crate::gamestream::pairing::certificate::Certificate;
use crate::gamestream::pairing::{NoRandomness, Pin};
use crate::gamestream::source::{MoonlightConfig, MoonlightSource};
use crate::gamestream::wire::wake::MacAddress;
use crate::state_dir::{Damaged, StateDirectory, StateError};
use crate::task;

/// A number that names one of [`Hosts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u32);

impl FromStr for HostId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of [`Hosts`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostRecord {
    /// Names it here.
    pub id: HostId,
    /// Where it is.
    pub address: HostAddress,
    /// What it called itself last; empty as long as it was not asked.
    pub name: String,
    /// Who tells it the PIN.
    pub pairing: PairingMethod,
    /// With which identities it was paired.
    pub paired: Vec<IdentityName>,
}

/// How a host is dealt with.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HostOptions {
    /// Who tells it the PIN. Default: a person.
    pub pairing: PairingMethod,
    /// The address of this machine that all connections to it come from. Default: as the system routes them.
    pub local_address: Option<IpAddr>,
}

/// The hosts and identities of a program: in a directory, or in memory. Clones are handles to the same ones.
///
/// In a directory are `hosts.json`, with each host's address and the certificates that it was paired with, and
/// `identities/NAME.identity/` with `certificate.pem` and `key.pem`. The directory is made for its owner alone (mode 0700,
/// files 0600; one that is there keeps its mode), and is for one program at a time. How a host is told a PIN is not kept
/// there: say it again with [`declare`](Self::declare).
#[derive(Clone)]
pub struct Hosts {
    shared: Arc<Shared>,
}

struct Shared {
    directory: Option<HostsDirectory>,
    book: Mutex<Book>,
    /// Held while an identity is made, so that each is made once: by who makes it, not by who waits for it.
    making: Arc<AsyncMutex<()>>,
}

#[derive(Default)]
struct Book {
    hosts: BTreeMap<HostId, Entry>,
    identities: BTreeMap<IdentityName, Identity>,
}

struct Entry {
    address: HostAddress,
    name: String,
    mac: Option<MacAddress>,
    options: HostOptions,
    turns: Turns,
    paired: BTreeMap<IdentityName, Certificate>,
}

impl Hosts {
    /// Without hosts, and nothing is kept.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::new(None, Book::default())
    }

    /// Those that are kept in `directory`, which is made when there is none.
    ///
    /// A damaged `hosts.json` is set aside under another name, which [`damaged`](Self::damaged) tells.
    ///
    /// # Errors
    /// When the directory cannot be used, or another program uses it.
    pub fn open(directory: &Path) -> Result<Self, StateError> {
        let (directory, kept) = HostsDirectory::open(directory)?;
        let mut book = Book::default();
        for (id, KeptHost { address, name, mac, paired }) in kept.hosts {
            let turns = book.turns_at(&address);
            book.hosts.insert(HostId(id), Entry { name, mac, paired, turns, ..Entry::new(address) });
        }
        Ok(Self::new(Some(directory), book))
    }

    fn new(directory: Option<HostsDirectory>, book: Book) -> Self {
        let shared = Shared { directory, book: Mutex::new(book), making: Arc::default() };
        Self { shared: Arc::new(shared) }
    }

    /// What was found damaged when the directory was opened.
    #[must_use]
    pub fn damaged(&self) -> Option<&Damaged> {
        self.shared.directory.as_ref()?.damaged()
    }

    /// Where they are kept, for what else the program keeps; `None` in memory.
    #[must_use]
    pub fn directory(&self) -> Option<&StateDirectory> {
        Some(self.shared.directory.as_ref()?.directory())
    }

    /// All hosts, by number.
    #[must_use]
    pub fn list(&self) -> Vec<HostRecord> {
        self.book().hosts.iter().map(|(&id, entry)| entry.record(id)).collect()
    }

    /// The host with this number.
    #[must_use]
    pub fn get(&self, id: HostId) -> Option<HostRecord> {
        self.book().hosts.get(&id).map(|entry| entry.record(id))
    }

    /// Adds a host, once it has answered. It gets the smallest number that is free; one that is here already under this
    /// address keeps its own. Cancel safe.
    ///
    /// # Errors
    /// When it does not answer, or the directory cannot be written.
    pub async fn add(&self, address: HostAddress, options: HostOptions) -> Result<HostRecord, HostsError> {
        let identity = self.identity(&IdentityName::default()).await?;
        let mut config = HostConfig::new(address.clone(), identity);
        config.local_address = options.local_address;
        let info = Host::new(config).info().await?;
        let id = {
            let mut book = self.book();
            let here = book.hosts.iter().find(|(_, entry)| entry.address == address);
            let id = here.map_or_else(|| book.free_id(), |(&id, _)| id);
            let entry = book.hosts.entry(id).or_insert_with(|| Entry::new(address));
            entry.name = info.name;
            entry.mac = info.mac.or(entry.mac);
            entry.options = options;
            id
        };
        self.keep()?;
        self.get(id).ok_or(HostsError::Unknown { id })
    }

    /// Says that there is a host, as a configuration file does: nobody is asked. What is known of a host with this number
    /// stays, but for its address and options.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn declare(&self, id: HostId, address: HostAddress, options: HostOptions) -> Result<(), StateError> {
        {
            let mut book = self.book();
            let turns = book.turns_at(&address);
            let entry = book.hosts.entry(id).or_insert_with(|| Entry::new(address.clone()));
            entry.turns = turns;
            entry.address = address;
            entry.options = options;
        }
        self.keep()
    }

    /// Forgets a host, and the certificates that it was paired with. False when there is none. Streams from it go on.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn remove(&self, id: HostId) -> Result<bool, StateError> {
        let removed = self.book().hosts.remove(&id).is_some();
        if removed {
            self.keep()?;
        }
        Ok(removed)
    }

    /// The identity with this name; it is made when there is none, and kept for ever. Cancel safe.
    ///
    /// # Errors
    /// When it cannot be made, read or written.
    pub async fn identity(&self, name: &IdentityName) -> Result<Identity, HostsError> {
        let making = Arc::clone(&self.shared.making).lock_owned().await;
        if let Some(identity) = self.book().identities.get(name) {
            return Ok(identity.clone());
        }
        let hosts = self.clone();
        let named = name.clone();
        let made = task::spawn_blocking(move || {
            let identity = match &hosts.shared.directory {
                Some(directory) => directory.identity(&named)?,
                None => Identity::generate()?,
            };
            hosts.book().identities.insert(named, identity.clone());
            // The last, so that whoever waits for it finds nothing of ours in use.
            drop(hosts);
            drop(making);
            Ok(identity)
        });
        made.await.map_err(|_| HostsError::Identity(IdentityError::Generate))?
    }

    /// A host as one identity sees it. Cancel safe.
    ///
    /// # Errors
    /// When there is no such host, or no identity.
    pub async fn host(&self, id: HostId, identity: &IdentityName) -> Result<Host, HostsError> {
        if self.get(id).is_none() {
            return Err(HostsError::Unknown { id });
        }
        let own = self.identity(identity).await?;
        let book = self.book();
        let entry = book.hosts.get(&id).ok_or(HostsError::Unknown { id })?;
        let mut config = HostConfig::new(entry.address.clone(), own);
        config.certificate = entry.paired.get(identity).cloned();
        config.local_address = entry.options.local_address;
        Ok(Host::with_turns(config, entry.turns.clone()))
    }

    /// What a host says of itself. Cancel safe.
    ///
    /// # Errors
    /// As [`host`](Self::host), or when it does not answer.
    pub async fn info(&self, id: HostId, identity: &IdentityName) -> Result<HostInfo, HostsError> {
        let info = self.host(id, identity).await?.info().await?;
        let changed = self.book().hosts.get_mut(&id).is_some_and(|entry| {
            let mac = info.mac.or(entry.mac);
            let changed = entry.name != info.name || entry.mac != mac;
            entry.name.clone_from(&info.name);
            entry.mac = mac;
            changed
        });
        if changed {
            self.keep()?;
        }
        Ok(info)
    }

    /// Draws the PIN for a pairing that a person helps with. [`Pairing::outcome`] does it.
    ///
    /// # Errors
    /// As [`host`](Self::host).
    pub async fn begin_pairing(&self, id: HostId, identity: &IdentityName) -> Result<Pairing, HostsError> {
        let host = self.host(id, identity).await?;
        Ok(Pairing { pin: Pin::random()?, host, hosts: self.clone(), id, identity: identity.clone() })
    }

    /// Pairs with nobody's help, as the host's [`PairingMethod`] says. Cancel safe.
    ///
    /// # Errors
    /// As [`Host::pair_by`].
    pub async fn pair_by_itself(&self, id: HostId, identity: &IdentityName) -> Result<(), HostsError> {
        let host = self.host(id, identity).await?;
        let record = self.get(id).ok_or(HostsError::Unknown { id })?;
        let certificate = host.pair_by(&record.pairing).await?;
        self.keep_paired(id, identity, certificate)
    }

    /// Trusts a host's certificate, as if this identity had been paired with it: for hosts that were told of the identity in
    /// another way.
    ///
    /// # Errors
    /// When there is no such host, or the directory cannot be written.
    pub fn trust(
        &self,
        id: HostId,
        identity: &IdentityName,
        certificate: Certificate,
    ) -> Result<(), HostsError> {
        self.keep_paired(id, identity, certificate)
    }

    /// A stream from a host. An identity that was never paired with it is paired first, when its [`PairingMethod`] needs
    /// nobody. Cancel safe.
    ///
    /// # Errors
    /// As [`host`](Self::host) and [`pair_by_itself`](Self::pair_by_itself); also when no host can take `config`.
    pub async fn source(
        &self,
        id: HostId,
        identity: &IdentityName,
        config: MoonlightConfig,
    ) -> Result<MoonlightSource, HostsError> {
        let record = self.get(id).ok_or(HostsError::Unknown { id })?;
        if record.pairing.is_automatic() && !record.paired.contains(identity) {
            let turns = self.book().hosts.get(&id).map(|entry| entry.turns.clone()).unwrap_or_default();
            let _turn = turns.pair_for_stream.lock().await;
            if !self.get(id).is_some_and(|record| record.paired.contains(identity)) {
                self.pair_by_itself(id, identity).await?;
            }
        }
        Ok(MoonlightSource::new(self.host(id, identity).await?, config))
    }

    fn keep_paired(
        &self,
        id: HostId,
        identity: &IdentityName,
        certificate: Certificate,
    ) -> Result<(), HostsError> {
        {
            let mut book = self.book();
            let entry = book.hosts.get_mut(&id).ok_or(HostsError::Unknown { id })?;
            entry.paired.insert(identity.clone(), certificate);
        }
        Ok(self.keep()?)
    }

    /// Writes what there is. Under the lock, so that an older state never overwrites a newer one.
    fn keep(&self) -> Result<(), StateError> {
        let Some(directory) = &self.shared.directory else { return Ok(()) };
        let book = self.book();
        let hosts = book.hosts.iter().map(|(id, entry)| {
            let Entry { address, name, mac, paired, .. } = entry;
            let (address, name, paired) = (address.clone(), name.clone(), paired.clone());
            (id.0, KeptHost { address, name, mac: *mac, paired })
        });
        directory.keep(&Kept { hosts: hosts.collect() })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().expect("no holder of this lock panics")
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.list()).finish()
    }
}

impl Book {
    fn free_id(&self) -> HostId {
        let taken = self.hosts.keys().zip(0..).take_while(|&(id, free)| id.0 == free);
        HostId(u32::try_from(taken.count()).expect("there are fewer hosts than numbers"))
    }

    /// Of whoever deals with that host already, under whatever number: one from each local address, for instance.
    fn turns_at(&self, address: &HostAddress) -> Turns {
        let same = self.hosts.values().find(|entry| entry.address == *address);
        same.map(|entry| entry.turns.clone()).unwrap_or_default()
    }
}

impl Entry {
    fn new(address: HostAddress) -> Self {
        Self {
            address,
            name: String::new(),
            mac: None,
            options: HostOptions::default(),
            turns: Turns::default(),
            paired: BTreeMap::new(),
        }
    }

    fn record(&self, id: HostId) -> HostRecord {
        HostRecord {
            id,
            address: self.address.clone(),
            name: self.name.clone(),
            pairing: self.options.pairing.clone(),
            paired: self.paired.keys().cloned().collect(),
        }
    }
}

/// A pairing that a person helps with.
#[derive(Debug)]
pub struct Pairing {
    pin: Pin,
    host: Host,
    hosts: Hosts,
    id: HostId,
    identity: IdentityName,
}

impl Pairing {
    /// What the host's user is to enter there.
    #[must_use]
    pub fn pin(&self) -> &Pin {
        &self.pin
    }

    /// Asks the host to pair, and waits until its user has entered the PIN; what comes of it is kept. As long as that takes:
    /// drop the future to give up, as [`Host::pair`] says.
    ///
    /// # Errors
    /// As [`Host::pair`], or when the directory cannot be written.
    pub async fn outcome(self) -> Result<(), HostsError> {
        let certificate = Box::pin(self.host.pair(&self.pin)).await?;
        self.hosts.keep_paired(self.id, &self.identity, certificate)
    }
}

/// Why something did not work out with [`Hosts`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostsError {
    /// None has this number.
    #[error("there is no host {id}")]
    Unknown {
        /// The number.
        id: HostId,
    },
    /// The host's answer, or that there was none.
    #[error(transparent)]
    Host(#[from] HostError),
    /// No identity could be made, or the one that was kept is damaged.
    #[error("there is no identity")]
    Identity(#[from] IdentityError),
    /// It was never asked as an identity that it is paired with.
    #[error("host {id} has not told its hardware address")]
    NoHardwareAddress {
        /// The host.
        id: HostId,
    },
    /// Nothing could be sent.
    #[error("no packet could be sent to wake it: {0}")]
    NotWoken(#[source] io::Error),
    /// The directory cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system gives no random numbers.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}
