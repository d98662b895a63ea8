//! `hosts`: the hosts that are known, and pairing with them.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use clap::{Args, Subcommand};
use moonlight_mux::{
    HostAddress, HostError, HostErrorCause, HostId, HostOptions, HostRecord, Hosts as KnownHosts,
    IdentityName,
};
use tokio::runtime::Handle;
use tokio::time::{interval, sleep, timeout};

use crate::discover;
use crate::server::Stop;
use crate::state::StateArgs;
use crate::{Exit, Failure, exit_codes};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Hosts {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    state: StateArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Asks a host who it is and keeps it.
    Add {
        /// NAME or IP, with :PORT if the host's HTTP port is not 47989.
        address: HostAddress,
    },
    /// Shows a PIN and waits until somebody has entered it at the host. Ctrl-C gives up.
    Pair {
        /// The host's id, name or address.
        host: String,
        #[command(flatten)]
        identity: Identity,
    },
    /// Lists the hosts that are known.
    List,
    /// Lists what a host can run.
    Apps {
        /// The host's id, name or address.
        host: String,
        #[command(flatten)]
        identity: Identity,
    },
    /// Looks for hosts that announce themselves on this network (mDNS).
    Discover {
        /// For so many seconds.
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
        seconds: u64,
    },
    /// Wakes a host that sleeps on this network (Wake-on-LAN), if it has said how: it was asked while it was awake.
    Wake {
        /// The host's id, name or address.
        host: String,
    },
    /// Forgets a host and that it was paired with.
    Remove {
        /// The host's id, name or address.
        host: String,
    },
}

/// Who this program is to a host.
#[derive(Debug, Args)]
pub(crate) struct Identity {
    /// The key and certificate that the host knows this program by, made when the name is new.
    #[arg(long, value_name = "NAME", default_value_t)]
    pub(crate) identity: IdentityName,
}

const EXAMPLES: &str = concat!(
    "\
Examples:
  moonlight-mux hosts discover
  moonlight-mux hosts add 192.168.1.5
  moonlight-mux hosts pair 192.168.1.5
  moonlight-mux hosts apps 0

",
    exit_codes!()
);

pub(crate) async fn run(Hosts { command, state }: Hosts) -> Result<(), Failure> {
    let hosts = state.hosts(&state.config()?)?;
    match command {
        Command::Add { address } => {
            let record = hosts.add(address, HostOptions::default()).await?;
            say(&format!(
                "{} is host {}: pair with it by `moonlight-mux hosts pair {}`\n",
                record.name, record.id, record.id
            ));
        }
        Command::Pair { host, identity } => {
            pair(&hosts, &find(&hosts.list(), &host)?, &identity.identity).await?
        }
        Command::List => say(&table(&hosts.list())),
        Command::Apps { host, identity } => {
            let record = find(&hosts.list(), &host)?;
            let host = hosts.host(record.id, &identity.identity).await?;
            let apps = host.apps().await.map_err(|error| unpaired(&error, record.id))?;
            let mut text = String::new();
            for app in apps {
                let hdr = if app.hdr { "  HDR" } else { "" };
                let _ = writeln!(text, "{:>10}  {}{hdr}", app.id, app.title);
            }
            say(&text);
        }
        Command::Discover { seconds } => {
            let found = discover::discover(Duration::from_secs(seconds)).await?;
            say(&discover::table(&found, &hosts.list()));
        }
        Command::Wake { host } => {
            let record = find(&hosts.list(), &host)?;
            hosts.wake(record.id).await?;
            say(&format!("{} was told to wake up\n", called(&record)));
        }
        Command::Remove { host } => {
            let record = find(&hosts.list(), &host)?;
            hosts.remove(record.id)?;
            say(&format!("{} is forgotten\n", called(&record)));
        }
    }
    Ok(())
}

async fn pair(hosts: &KnownHosts, record: &HostRecord, identity: &IdentityName) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let name = &called(record);
    let paired = if record.pairing.is_automatic() {
        tokio::select! {
            paired = Box::pin(hosts.pair_by_itself(record.id, identity)) => Some(paired),
            () = stop.asked() => None,
        }
    } else {
        let pairing = hosts.begin_pairing(record.id, identity).await?;
        say(&format!("Enter the PIN {} at {name}.\n", pairing.pin().digits()));
        tokio::select! {
            paired = Box::pin(pairing.outcome()) => Some(paired),
            () = stop.asked() => None,
            () = waiting() => None,
        }
    };
    if io::stderr().is_terminal() {
        // The line of the waiting goes.
        eprint!("\r\x1b[2K");
    }
    let failure = match paired {
        Some(Ok(())) => None,
        Some(Err(error)) => Some(Failure::from(error)),
        None => Some(Failure::new("given up")),
    };
    if let Some(failure) = failure {
        let _ = timeout(CLEANUP, cleaned_up()).await;
        return Err(failure);
    }
    say(&format!("Paired with {name} as {identity}.\n"));
    // What a host tells only to those it is paired with is kept, such as how to wake it.
    if let Err(error) = hosts.info(record.id, identity).await {
        eprintln!("moonlight-mux: {}", Failure::from(error));
    }
    Ok(())
}

/// Waits until the host was told that nobody pairs with it any more, which the library does in a task of its own: it
/// would refuse the next pairing.
async fn cleaned_up() {
    let runtime = Handle::current().metrics();
    while runtime.num_alive_tasks() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Shows that time passes, for ever.
async fn waiting() {
    let mut seconds = interval(Duration::from_secs(1));
    let mut passed = 0u32;
    loop {
        seconds.tick().await;
        if io::stderr().is_terminal() {
            eprint!("\rwaiting for the PIN: {passed} s (Ctrl-C gives up) ");
        }
        passed += 1;
    }
}

/// The host that a person means: by id, by address, or by name in any case.
pub(crate) fn find(records: &[HostRecord], text: &str) -> Result<HostRecord, Failure> {
    let by_id = || {
        let id = text.parse().ok()?;
        records.iter().find(|record| record.id == HostId(id))
    };
    let by_address = || {
        let address: HostAddress = text.parse().ok()?;
        records.iter().find(|record| record.address == address)
    };
    if let Some(record) = by_id().or_else(by_address) {
        return Ok(record.clone());
    }
    let named = records.iter().filter(|record| record.name.eq_ignore_ascii_case(text));
    match &named.collect::<Vec<_>>()[..] {
        [record] => Ok((*record).clone()),
        [] => Err(Failure::new(format!(
            "no host is known as {text:?}: add it by `moonlight-mux hosts add ADDRESS`, or see `moonlight-mux hosts list`"
        ))
        .with(Exit::Arguments)),
        several => {
            let ids: Vec<_> = several.iter().map(|record| record.id.to_string()).collect();
            let text = format!("{} hosts are called {text:?}: say which by its id, {}", ids.len(), ids.join(" or "));
            Err(Failure::new(text).with(Exit::Arguments))
        }
    }
}

/// A host's word, with what to do about it.
pub(crate) fn unpaired(error: &HostError, id: HostId) -> Failure {
    let failure = Failure::from(error.clone());
    match error.cause {
        HostErrorCause::NotPaired | HostErrorCause::WrongCertificate => {
            failure.hint(format!("pair with it by `moonlight-mux hosts pair {id}`"))
        }
        _ => failure,
    }
}

/// Its name, once it was asked.
fn called(record: &HostRecord) -> String {
    if record.name.is_empty() { record.address.to_string() } else { record.name.clone() }
}

fn table(records: &[HostRecord]) -> String {
    if records.is_empty() {
        return "No host is known: add one by `moonlight-mux hosts add ADDRESS`.\n".to_owned();
    }
    let mut text = format!("{:>4}  {:<24}  {:<24}  paired as\n", "id", "name", "address");
    for HostRecord { id, name, address, paired, .. } in records {
        let paired: Vec<_> = paired.iter().map(IdentityName::as_str).collect();
        let paired = if paired.is_empty() { "-".to_owned() } else { paired.join(", ") };
        let _ = writeln!(text, "{:>4}  {name:<24}  {:<24}  {paired}", id.to_string(), address.to_string());
    }
    text
}

/// To standard output. Nobody may be reading.
fn say(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// How long that may take.
const CLEANUP: Duration = Duration::from_secs(5);
