//! The rules of the house (DESIGN 6), checked: which crate may use which, and under which licences
//! the crates we use may be.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context as _, bail};
use serde_json::Value;

const SHARED: &[&str] = &["bus", "store", "cache", "vault", "speech", "boot", "wire", "domain"];

/// What each crate of the workspace may depend on, outside its tests.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    let service = |own: &[&'static str], without: &[&str]| {
        let shared = SHARED.iter().copied().filter(|s| !without.contains(s));
        shared.chain(own.iter().copied()).collect::<Vec<_>>()
    };
    let mut rules = BTreeMap::new();
    rules.insert("domain", vec![]);
    rules.insert("wire", vec!["domain"]);
    for middle in ["bus", "store", "cache", "vault", "speech", "boot"] {
        rules.insert(middle, vec!["wire", "domain"]);
    }
    rules.insert("call-core", vec!["domain"]);
    rules.insert("dialogue-core", vec!["domain"]);
    // The table of DESIGN 6: who may touch what.
    // The API refuses an agent as the tasks would: it reads one by the dialogue core's own code.
    rules.insert("edge", service(&["call-core", "dialogue-core"], &["speech"]));
    rules.insert("voice", service(&[], &["store"]));
    rules.insert("orchestrator", service(&["dialogue-core"], &["speech"]));
    rules.insert("writer", service(&[], &["speech"]));
    rules.insert("simulator", vec!["boot", "domain"]);
    rules.insert("testkit", service(&[], &[]));
    rules.insert("scripts", service(&["simulator", "call-core", "dialogue-core"], &[]));
    // What it feeds is inside the services; nothing of it is deployed.
    let fed = ["edge", "orchestrator", "dialogue-core", "simulator"];
    rules.insert("fuzz", service(&fed, &[]));
    rules
}

/// SPDX licences that ask for no more than a notice.
const LICENCES: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "0BSD",
];

fn main() -> anyhow::Result<()> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("read packages")?;
    let mut faults = directions(packages);
    faults.extend(licences(packages));
    for fault in &faults {
        eprintln!("{fault}");
    }
    if !faults.is_empty() {
        bail!("{} fault(s) against the rules of the house", faults.len());
    }
    println!("house-check: {} crates, directions and licences are right", packages.len());
    Ok(())
}

fn metadata() -> anyhow::Result<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let out = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .context("run cargo metadata")?;
    if !out.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&out.stderr));
    }
    serde_json::from_slice(&out.stdout).context("parse cargo metadata")
}

fn directions(packages: &[Value]) -> Vec<String> {
    let rules = allowed();
    let mut faults = Vec::new();
    for package in packages.iter().filter(|p| p["source"].is_null()) {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(may) = rules.get(name) else {
            faults.push(format!("{name}: no rule says what it may use; add one to house-check"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = dependency["name"].as_str().unwrap_or_default();
            let for_tests = dependency["kind"] == "dev";
            if rules.contains_key(used) && !for_tests && !may.contains(&used) {
                faults.push(format!("{name} uses {used}, which DESIGN 6 forbids"));
            }
        }
    }
    faults
}

fn licences(packages: &[Value]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let licence = package["license"].as_str().unwrap_or_default();
        if !permits(licence) {
            faults.push(format!("{name}: licence {licence:?} is not on the list"));
        }
    }
    faults
}

/// Whether an SPDX expression can be met by listed licences alone. Crates write flat expressions:
/// alternatives of conjunctions, at times in parentheses, at times with `/` for OR.
fn permits(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    let met = |licence: &str| LICENCES.contains(&licence.trim());
    // `A OR B AND C` as crates mean it, `(A OR B) AND C`: every conjunct needs one listed licence.
    flat.split(" AND ").all(|conjunct| conjunct.split(" OR ").any(met))
        || flat.split(" OR ").any(|alternative| alternative.split(" AND ").all(met))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_that_asks_for_more_is_refused() {
        for good in
            ["MIT", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "GPL-3.0 OR MIT"]
        {
            assert!(permits(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND AGPL-3.0", "MPL-2.0"] {
            assert!(!permits(bad), "{bad}");
        }
    }
}
