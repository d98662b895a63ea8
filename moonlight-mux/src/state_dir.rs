//! A directory for what a program keeps: whole files, for their owner alone, by one program at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::gamestream::identity::IdentityError;

/// A directory that is this program's as long as this or a clone of it lives. Made for its owner alone: mode 0700, files
/// 0600; one that is there keeps its mode.
#[derive(Clone, Debug)]
pub struct StateDirectory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Locked.
    _lock: File,
}

/// What was found under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loaded<T> {
    /// `None` if there was nothing, or nothing that can be read.
    pub kept: Option<T>,
    /// The file that could not be read.
    pub damaged: Option<Damaged>,
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
    /// Makes the directory if there is none, and locks it. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be used, or another program uses it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        make_directory(path)?;
        let lock_path = path.join("lock");
        let lock = private_file(&lock_path, OpenOptions::new().create(true).truncate(false))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(StateError::Io { path: lock_path, error }),
        }
        Ok(Self { shared: Arc::new(Shared { path: path.to_owned(), _lock: lock }) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Reads the document `name`: a JSON object with a number `schema`, which is `schema` or older. One that is damaged, which
    /// may be the word of `parse` too, is set aside under another name. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be read or set aside, or a newer version wrote it; then it is untouched.
    pub fn load<T>(
        &self,
        name: &str,
        schema: u32,
        parse: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Loaded<T>, StateError> {
        let file = self.path().join(name);
        let bytes = read(&file).map_err(|error| StateError::Io { path: file.clone(), error })?;
        let Some(bytes) = bytes else { return Ok(Loaded { kept: None, damaged: None }) };
        let parsed = match serde_json::from_slice(&bytes) {
            Ok(Versioned { schema: found }) if found > schema => {
                return Err(StateError::Newer { path: file, schema: found });
            }
            Ok(_) => parse(&bytes),
            Err(error) => Err(error.to_string()),
        };
        Ok(match parsed {
            Ok(kept) => Loaded { kept: Some(kept), damaged: None },
            Err(reason) => Loaded { kept: None, damaged: Some(set_aside(&file, reason)?) },
        })
    }

    /// Puts `bytes` under `name`: all of them, or, when it fails or the machine goes down, what was there before. Of two calls
    /// at once for one name nobody knows which wins: its owner makes one after the other. Blocks until they are on the disk.
    ///
    /// # Errors
    /// When the system does not write them. Where it is the directory that it does not write at last, it may be either.
    pub fn store(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        write(&self.path().join(name), bytes)
    }
}

#[derive(Deserialize)]
struct Versioned {
    schema: u32,
}

/// `None` when there is no such file.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Never half a file: a new one takes the old one's place when all of it is on the disk.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| StateError::Io { path, error }
    };
    let temporary = path.with_extension("new");
    let mut file = private_file(&temporary, OpenOptions::new().create(true).truncate(true))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&temporary))?;
    // Opened before the new file is there: where it cannot be, the old one stays.
    #[cfg(unix)]
    let directory = match path.parent() {
        Some(directory) => Some((directory, File::open(directory).map_err(at(directory))?)),
        None => None,
    };
    fs::rename(&temporary, path).map_err(at(path))?;
    // The new name has to reach the disk too.
    #[cfg(unix)]
    if let Some((directory, opened)) = directory {
        opened.sync_all().map_err(at(directory))?;
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

pub(crate) fn make_directory(path: &Path) -> Result<(), StateError> {
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// Removed with its owner.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            Self(std::env::temp_dir().join(format!("moonlight-mux-state-{}", Uuid::new_v4())))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn text(bytes: &[u8]) -> Result<String, String> {
        String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_one_programs_until_the_last_handle_is_dropped() {
        let scratch = Scratch::new();
        let directory = StateDirectory::open(&scratch.0).unwrap();
        let clone = directory.clone();
        drop(directory);
        assert!(matches!(StateDirectory::open(&scratch.0), Err(StateError::InUse { .. })));
        drop(clone);
        StateDirectory::open(&scratch.0).unwrap();
    }

    #[test]
    fn what_was_stored_is_loaded_and_nothing_half_written_stays() {
        let scratch = Scratch::new();
        let directory = StateDirectory::open(&scratch.0).unwrap();
        let load = || directory.load("things.json", 3, text).unwrap();
        assert_eq!(load(), Loaded { kept: None, damaged: None });
        for document in ["{\"schema\":1}", "{\"schema\":3,\"longer\":true}", "{\"schema\":2}"] {
            directory.store("things.json", document.as_bytes()).unwrap();
            assert_eq!(load(), Loaded { kept: Some(document.to_owned()), damaged: None });
        }
        let mut names: Vec<_> =
            fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["lock", "things.json"]);
    }

    #[test]
    fn what_a_newer_version_wrote_is_left_alone() {
        let scratch = Scratch::new();
        let directory = StateDirectory::open(&scratch.0).unwrap();
        directory.store("things.json", b"{\"schema\":4,\"things\":{}}").unwrap();
        let error = directory.load("things.json", 3, text).unwrap_err();
        assert!(matches!(error, StateError::Newer { schema: 4, .. }), "{error}");
        assert_eq!(fs::read(scratch.0.join("things.json")).unwrap(), b"{\"schema\":4,\"things\":{}}");
    }

    #[test]
    fn what_is_damaged_is_set_aside_each_time_under_another_name() {
        let scratch = Scratch::new();
        let directory = StateDirectory::open(&scratch.0).unwrap();
        for (n, document) in
            ["", "{\"schema\":1", "[]", "{\"schema\":\"1\"}", "{\"schema\":1}"].iter().enumerate()
        {
            directory.store("things.json", document.as_bytes()).unwrap();
            let refuse = |_: &[u8]| Err::<(), _>("I do not like it".to_owned());
            let damaged = directory.load("things.json", 1, refuse).unwrap().damaged.unwrap();
            assert_eq!(damaged.set_aside, scratch.0.join(format!("things.damaged-{}", n + 1)));
            assert_eq!(fs::read_to_string(&damaged.set_aside).unwrap(), *document);
            assert!(!damaged.reason.is_empty());
            assert!(!scratch.0.join("things.json").exists());
        }
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_one() {
        let scratch = Scratch::new();
        let directory = StateDirectory::open(&scratch.0).unwrap();
        directory.store("things.json", b"{\"schema\":1}").unwrap();
        // Where the temporary file would be.
        fs::create_dir(scratch.0.join("things.new")).unwrap();
        let error = directory.store("things.json", b"{\"schema\":2}").unwrap_err();
        assert!(matches!(error, StateError::Io { .. }), "{error}");
        assert_eq!(directory.load("things.json", 1, text).unwrap().kept.unwrap(), "{\"schema\":1}");
    }
}
