//! The product is MIT OR Apache-2.0: every crate that it is built and tested with must allow that.

use std::collections::BTreeSet;
use std::process::Command;

use spdx::{Expression, LicenseReq, ParseMode};

/// Licences that ask for no more than to be named.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that must not be built: aws-lc-rs does all cryptography but for one nonce size that it does not take.
const BANNED: &[&str] = &["openssl-sys", "ring", "rsa"];

/// Each crate as `name version` with its licence, as cargo builds it: the lock file also has what no feature turns on.
fn crates() -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--all-features", "--edges", "all", "--prefix", "none", "--locked"])
        .args(["--format", "{p}\t{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let crates: BTreeSet<_> = tree
        .lines()
        .filter_map(|line| line.trim_end_matches(" (*)").split_once('\t'))
        .map(|(package, licence)| (package.to_owned(), licence.to_owned()))
        .collect();
    assert!(crates.len() > 100, "the tree is there: {} crates", crates.len());
    crates
}

#[test]
fn every_dependency_has_a_permissive_licence() {
    let allowed = |req: &LicenseReq| req.license.id().is_some_and(|id| ALLOWED.contains(&id.name));
    let refused: Vec<_> = crates()
        .into_iter()
        .filter(|(_, licence)| {
            !Expression::parse_mode(licence, ParseMode::LAX)
                .is_ok_and(|expression| expression.evaluate(allowed))
        })
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn no_banned_crate_is_built() {
    let crates = crates();
    let banned: Vec<_> = crates
        .iter()
        .filter(|(package, _)| package.split(' ').next().is_some_and(|name| BANNED.contains(&name)))
        .collect();
    assert!(banned.is_empty(), "{banned:?}");
}
