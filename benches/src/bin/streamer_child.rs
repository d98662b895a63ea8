//! A streamer's process for tests, which goes wrong as its environment says.
//!
//! | variable | says |
//! | --- | --- |
//! | `MMUX_FAULT` | what goes wrong: `segv`, `panic`, `exit` (code 3), `hang` (says nothing more), `garbage`, `unknown`, `long` (10 MB), `println`, `memory` (256 MiB more), `much_memory` (1 GiB more, at once), `chatter` (says 500 things, five times a second, from then on), `loud` (and logs as many lines); or, before anything else, `slow_hello`, `no_hello` |
//! | `MMUX_FAULT_FRAMES` | behind how many pictures; default 1 |
//! | `MMUX_FAULT_ONCE` | a file: only in the process that makes it |
//! | `MMUX_RELAY` | how the control connection is passed on, both ways: `bytes`, one at a time; `together`, all of half a second at once |
//! | `MMUX_HOLD` | a file: as long as it is there, the process says nothing, not even that it is there |
//! | `MMUX_MAPPED` | how many bytes of memory it asks for before anything else, and never touches; default 0 |
//! | `MMUX_FAULT_MS` | how long `slow_hello` takes; default 1000 |

#[cfg(unix)]
#[path = "streamer_child/relay.rs"]
mod relay;

use std::env;
use std::fs::OpenOptions;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

#[cfg(unix)]
use moonlight_mux::bench_support::{Fault, run_faulty_child_if_asked};

#[cfg(unix)]
fn main() -> ExitCode {
    let wanted = env::var("MMUX_FAULT").unwrap_or_default();
    let cut = match env::var("MMUX_RELAY").as_deref() {
        Ok("bytes") => Some(relay::Cut::Bytes),
        Ok("together") => Some(relay::Cut::Together),
        _ => None,
    };
    if let Some(cut) = cut {
        relay::begin(cut).expect("standard input is a control connection");
    }
    let hold = env::var_os("MMUX_HOLD").map(PathBuf::from);
    while hold.as_ref().is_some_and(|file| file.exists()) {
        rest(Duration::from_millis(50));
    }
    // As allocators do that reserve what they may need.
    let reserved = usize::try_from(number("MMUX_MAPPED", 0)).expect("an amount of memory");
    black_box(black_box(Vec::<u8>::with_capacity(reserved)).leak());
    match wanted.as_str() {
        "slow_hello" if is_its_turn() => rest(Duration::from_millis(number("MMUX_FAULT_MS", 1000))),
        "no_hello" if is_its_turn() => hang(),
        _ => {}
    }
    let (behind, mut looks) = (number("MMUX_FAULT_FRAMES", 1), 0_u32);
    run_faulty_child_if_asked(move |fault| {
        if fault.frames() >= behind {
            looks = looks.saturating_add(1);
            if wanted == "chatter" || wanted == "loud" {
                return chatter(&fault, wanted == "loud");
            }
            // Not at once: the server is to hear of the pictures.
            if looks == 2 && is_its_turn() {
                go_wrong(&wanted, &fault);
            }
        }
    });
    eprintln!("a streamer's process, for tests: started by servers alone");
    ExitCode::from(2)
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    ExitCode::FAILURE
}

#[cfg(unix)]
#[expect(clippy::exit, reason = "one of the ways to go wrong")]
fn go_wrong(how: &str, fault: &Fault<'_>) {
    match how {
        "segv" => drop(nix::sys::signal::raise(nix::sys::signal::Signal::SIGSEGV)),
        "panic" => panic!("as it was told to"),
        "exit" => std::process::exit(3),
        "hang" => hang(),
        "garbage" => {
            fault.say(frame(b"\xff\xfe no JSON at all {"));
            fault.say(frame(b"{\"State\":{\"state\":7}}"));
            fault.say(frame(b""));
        }
        "unknown" => fault.say(frame(b"{\"FromTheFuture\":{\"x\":[1,2,3]}}")),
        "long" => fault.say(frame(&vec![b' '; 10_000_000])),
        "println" => say_on_stdout(),
        // Written to, so that it is resident, and never given back.
        "much_memory" => drop(Box::leak(vec![1_u8; 1 << 30].into_boxed_slice())),
        "memory" => drop(Box::leak(vec![1_u8; 256 * 1024 * 1024].into_boxed_slice())),
        _ => {}
    }
}

#[cfg(unix)]
fn chatter(fault: &Fault<'_>, logs: bool) {
    const THINGS: u32 = 500;
    fault.chatter(THINGS);
    for n in 0..if logs { THINGS } else { 0 } {
        tracing::warn!(n, "as it was told to");
    }
}

/// As a library might.
#[expect(clippy::print_stdout, reason = "one of the ways to go wrong")]
fn say_on_stdout() {
    println!("a stray line on standard output");
    print!("{{\"Stopped\":");
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("tests say nothing that long");
    [&length.to_be_bytes(), payload].concat()
}

fn is_its_turn() -> bool {
    let Some(file) = env::var_os("MMUX_FAULT_ONCE") else { return true };
    OpenOptions::new().write(true).create_new(true).open(file).is_ok()
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn hang() -> ! {
    loop {
        thread::park();
    }
}

/// Rather longer than shorter than that.
fn rest(time: Duration) {
    let (_alive, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}
