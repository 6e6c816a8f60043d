//! Feeds every target with the kept corpus, and then with mutations of it for as long as it is told to:
//! `fuzz --seconds 60`. An input that ends it is kept beside the build, and named.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Parser;
use fuzz::{Mutator, TARGETS, Target};

/// The clock is looked at no more often than this.
const INPUTS_PER_LOOK: u32 = 64;

#[derive(Parser)]
struct Arguments {
    /// How long, all targets together.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Makes the same inputs as the run that printed it.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this target.
    #[arg(long)]
    target: Option<String>,
    /// Feeds these files to the target and nothing else.
    #[arg(requires = "target")]
    files: Vec<PathBuf>,
}

/// What is being fed, for whoever finds that it ended the process.
static FED: Mutex<(&str, Vec<u8>)> = Mutex::new(("", Vec::new()));

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let chosen: Vec<&Target> = match &arguments.target {
        Some(name) => {
            vec![fuzz::named(name).with_context(|| format!("there is no target {name}"))?]
        }
        None => TARGETS.iter().collect(),
    };
    keep_what_ends_us();
    if let [target] = chosen[..]
        && !arguments.files.is_empty()
    {
        return arguments.files.iter().try_for_each(|file| feed_file(target, file));
    }
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("fuzz: --seed {seed}");
    let each = Duration::from_secs(arguments.seconds) / chosen.len() as u32;
    for target in chosen {
        let corpus = fuzz::read(target.name)?;
        corpus.iter().for_each(|input| feed(target, input.clone()));
        let (mut mutator, began, mut inputs) = (Mutator::new(seed), Instant::now(), 0_u64);
        while began.elapsed() < each {
            for _ in 0..INPUTS_PER_LOOK {
                feed(target, mutator.next(&corpus));
            }
            inputs += u64::from(INPUTS_PER_LOOK);
        }
        println!("fuzz: {:<18} {:>4} kept, {inputs:>9} made", target.name, corpus.len());
    }
    Ok(())
}

fn feed_file(target: &Target, file: &Path) -> anyhow::Result<()> {
    let input = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    feed(target, input);
    Ok(())
}

fn feed(target: &Target, input: Vec<u8>) {
    *FED.lock().unwrap_or_else(PoisonError::into_inner) = (target.name, input.clone());
    (target.run)(&input);
}

/// Keeps the input that a panic is about, and ends the process.
fn keep_what_ends_us() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        let (target, input) = &*FED.lock().unwrap_or_else(PoisonError::into_inner);
        let file = std::env::temp_dir().join(format!("fuzz-{target}-{}", fuzz::digest(input)));
        match std::fs::write(&file, input) {
            Ok(()) => eprintln!("fuzz: again with: fuzz --target {target} {}", file.display()),
            Err(error) => eprintln!("fuzz: {target}: {error}: {}", input.escape_ascii()),
        }
        std::process::exit(1);
    }));
}
