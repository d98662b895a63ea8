//! `serve`: hosts and recorded sessions.

use std::future::pending;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use moonlight_mux::{Recording, StreamerId};

use crate::config::{Config, Text};
use crate::server::{Listen, Server};
use crate::state::StateArgs;
use crate::values::Kind;
use crate::{Failure, exit_codes};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Serve {
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    state: StateArgs,
    /// A recorded session to serve in a loop under a name. May be given several times.
    #[arg(long, value_name = "NAME=FOLDER")]
    recording: Vec<NamedRecording>,
}

const EXAMPLES: &str = concat!(
    "\
Examples:
  moonlight-mux serve
  moonlight-mux serve --config /etc/moonlight-mux.toml --listen 127.0.0.1:9000
  moonlight-mux serve --recording desktop=recordings/v0.23-clear

",
    exit_codes!()
);

#[derive(Clone, Debug)]
struct NamedRecording {
    id: StreamerId,
    folder: PathBuf,
}

impl FromStr for NamedRecording {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, folder) = text.split_once('=').ok_or("expected NAME=FOLDER")?;
        let id = name.parse().map_err(|error| format!("{name:?}: {error}"))?;
        Ok(Self { id, folder: folder.into() })
    }
}

pub(crate) async fn run(serve: Serve) -> Result<(), Failure> {
    let file = serve.state.config()?;
    let named = if serve.recording.is_empty() { of_file(&file.config) } else { serve.recording };
    let recordings = named.into_iter().map(|NamedRecording { id, folder }| {
        let recording = Recording::open(&folder)?;
        Ok((id, recording))
    });
    let recordings = recordings.collect::<Result<Vec<_>, Failure>>()?;
    let hosts = serve.state.hosts(&file)?;
    let kept = StateArgs::streamers(&hosts)?;
    let server = Server::bind(&serve.listen.or(&file.config), Kind::Process, !recordings.is_empty()).await?;
    let server = server.with_hosts(hosts).with_kept(kept);
    server.announce_all();
    for (id, recording) in recordings {
        let streamer = server.registry().create(id, recording, server.streamer_config())?;
        server.announce(&streamer);
    }
    server.run(pending()).await
}

fn of_file(config: &Config) -> Vec<NamedRecording> {
    let recordings = config.recordings.iter();
    recordings.map(|(Text(id), folder)| NamedRecording { id: id.clone(), folder: folder.clone() }).collect()
}
