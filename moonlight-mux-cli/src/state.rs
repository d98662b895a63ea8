//! What is kept between runs: hosts, keys and certificates; and the configuration file that may name hosts too.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use moonlight_mux::{Damaged, HostId, HostOptions, Hosts};
use moonlight_mux_http::KeptStreamers;

use crate::config::ConfigFile;
use crate::{Exit, Failure};

/// Where hosts and what they are known by come from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct StateArgs {
    /// A TOML file with hosts and settings; what options and the environment say comes first.
    #[arg(long, global = true, value_name = "FILE", env = "MOONLIGHT_MUX_CONFIG")]
    config: Option<PathBuf>,
    /// The folder where hosts, keys and certificates are kept. Default: $XDG_STATE_HOME/moonlight-mux, or
    /// ~/.local/state/moonlight-mux.
    #[arg(long, global = true, value_name = "FOLDER", env = "MOONLIGHT_MUX_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

impl StateArgs {
    /// What the configuration file says; nothing if there is none.
    pub(crate) fn config(&self) -> Result<ConfigFile, Failure> {
        match &self.config {
            Some(path) => ConfigFile::read(path).map_err(|error| Failure::from(error).with(Exit::Arguments)),
            None => Ok(ConfigFile::default()),
        }
    }

    /// The hosts that are kept, and those of the file.
    pub(crate) fn hosts(&self, file: &ConfigFile) -> Result<Hosts, Failure> {
        let directory = self.directory(file.config.state_dir.as_deref(), |name| std::env::var_os(name));
        let Some(directory) = directory else {
            let text = "no folder to keep keys in: give --state-dir, or set HOME";
            return Err(Failure::new(text).with(Exit::Arguments));
        };
        let hosts = Hosts::open(&directory)?;
        warn("the list of hosts", hosts.damaged());
        for host in file.hosts().map_err(|error| Failure::from(error).with(Exit::Arguments))? {
            let mut options = HostOptions::default();
            options.pairing = host.pairing;
            hosts.declare(HostId(host.id), host.address, options)?;
        }
        Ok(hosts)
    }

    /// The streamers that are kept where the hosts are.
    pub(crate) fn streamers(hosts: &Hosts) -> Result<Option<KeptStreamers>, Failure> {
        let kept = hosts.directory().map(KeptStreamers::open).transpose()?;
        warn("the list of persistent streamers", kept.as_ref().and_then(KeptStreamers::damaged));
        Ok(kept)
    }

    fn directory(&self, of_file: Option<&Path>, env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let chosen = self.state_dir.clone().or_else(|| of_file.map(Path::to_owned));
        // Relative ones do not count (XDG Base Directory Specification).
        let folder = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
        chosen.or_else(|| {
            let state = folder("XDG_STATE_HOME");
            let state = state.or_else(|| Some(folder("HOME")?.join(".local/state")));
            Some(state.or_else(|| folder("LOCALAPPDATA"))?.join("moonlight-mux"))
        })
    }
}

/// Says that a file could not be read, if that is so.
fn warn(what: &str, damaged: Option<&Damaged>) {
    if let Some(Damaged { set_aside, reason, .. }) = damaged {
        eprintln!("moonlight-mux: {what} was damaged and is set aside as {}: {reason}", set_aside.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_comes_before_the_file_and_the_file_before_the_users_folders() {
        for (option, file, env, expected) in [
            (Some("/a"), Some("/b"), &[("XDG_STATE_HOME", "/x"), ("HOME", "/h")][..], Some("/a")),
            (None, Some("/b"), &[("XDG_STATE_HOME", "/x")], Some("/b")),
            (None, None, &[("XDG_STATE_HOME", "/x"), ("HOME", "/h")], Some("/x/moonlight-mux")),
            (None, None, &[("XDG_STATE_HOME", "x"), ("HOME", "/h")], Some("/h/.local/state/moonlight-mux")),
            (None, None, &[("HOME", "/h")], Some("/h/.local/state/moonlight-mux")),
            (None, None, &[("LOCALAPPDATA", "/l")], Some("/l/moonlight-mux")),
            (None, None, &[], None),
        ] {
            let args = StateArgs { config: None, state_dir: option.map(PathBuf::from) };
            let env = |name: &str| {
                env.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            };
            assert_eq!(args.directory(file.map(Path::new), env), expected.map(PathBuf::from));
        }
    }
}
