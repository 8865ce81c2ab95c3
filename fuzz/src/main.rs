//! `decdn-fuzz TARGET [--seconds N] [--seed S] [--keep FOLDER] [--show FILE]`: changes committed inputs and tries them, without a fuzzer.
//!
//! What guides it is what the targets say they reached. A failing input is made short and written down; with `--keep`,
//! so are the inputs that reached what the corpus does not; `--show` says what one input does.

use std::{
    cell::{Cell, RefCell},
    env, fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use decdn_fuzz::{TARGETS, Target, corpus, mutate, tell};

struct Order {
    name: String,
    target: Target,
    seconds: u64,
    seed: u64,
    keep: Option<PathBuf>,
    show: Option<PathBuf>,
}

fn main() -> ExitCode {
    let order = match order(env::args().skip(1)) {
        Ok(order) => order,
        Err(why) => {
            eprintln!("decdn-fuzz: {why}");
            return ExitCode::from(2);
        }
    };
    match fuzz(&order) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(1)
        }
    }
}

fn order(mut args: impl Iterator<Item = String>) -> Result<Order, String> {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    let usage = format!(
        "expected TARGET [--seconds N] [--seed S] [--keep FOLDER] [--show FILE], with TARGET one of {}",
        names.join(", ")
    );
    let name = args.next().ok_or(&usage)?;
    let target =
        TARGETS.iter().find(|(known, _)| *known == name).ok_or(format!("no target `{name}`: {usage}"))?.1;
    let mut order = Order { name, target, seconds: 60, seed: 0, keep: None, show: None };
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(format!("`{flag}` needs a value: {usage}"))?;
        let number = || value.parse().map_err(|_| format!("`{flag} {value}`: not a number"));
        match flag.as_str() {
            "--seconds" => order.seconds = number()?,
            "--seed" => order.seed = number()?,
            "--keep" => order.keep = Some(PathBuf::from(&value)),
            "--show" => order.show = Some(PathBuf::from(&value)),
            _ => return Err(format!("no flag `{flag}`: {usage}")),
        }
    }
    Ok(order)
}

thread_local! {
    static IS_LOUD: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

fn fuzz(order: &Order) -> Result<(), String> {
    if let Some(path) = &order.show {
        let input = fs::read(path).map_err(|why| format!("{}: {why}", path.display()))?;
        tell(true);
        (order.target)(&input);
        return Ok(());
    }
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PLACE.set(info.location().map(ToString::to_string).unwrap_or_default());
        if IS_LOUD.get() {
            usual(info);
        }
    }));
    let committed: Vec<_> =
        corpus(&order.name).map_err(|why| why.to_string())?.into_iter().map(|(_, input)| input).collect();
    let mut pool = mutate::Pool::new(committed.clone(), order.seed);
    let begun = clock();
    let mut count = 0u64;
    let mut told = 0;
    for input in &committed {
        try_one(order, &mut pool, input.clone())?;
    }
    while begun() < Duration::from_secs(order.seconds) {
        let input = pool.next_input();
        try_one(order, &mut pool, input)?;
        count += 1;
        let secs = begun().as_secs();
        if secs >= told + 10 {
            told = secs;
            let (reached, inputs) = pool.size();
            eprintln!("{secs:>5} s  {count:>9} runs  {reached:>6} reached  {inputs:>5} inputs");
        }
    }
    let (reached, inputs) = pool.size();
    let rate = u128::from(count) * 1000 / begun().as_millis().max(1);
    println!(
        "{}: {count} runs, {rate}/s, {reached} things reached by {inputs} inputs, no failure",
        order.name
    );
    if let Some(folder) = &order.keep {
        keep(order, &pool, &committed, folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    }
    Ok(())
}

fn keep(order: &Order, pool: &mutate::Pool, committed: &[Vec<u8>], folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for input in pool.distil(order.target, committed) {
        fs::write(folder.join(name_of(input)), input)?;
    }
    Ok(())
}

fn name_of(input: &[u8]) -> String {
    blake3::hash(input).to_hex()[..12].to_owned()
}

/// Where an input fails, if it does.
fn failure(target: Target, input: &[u8]) -> Option<String> {
    panic::catch_unwind(AssertUnwindSafe(|| target(input))).is_err().then(|| PLACE.take())
}

fn try_one(order: &Order, pool: &mut mutate::Pool, input: Vec<u8>) -> Result<(), String> {
    let run = panic::catch_unwind(AssertUnwindSafe(|| pool.run(order.target, input.clone())));
    if run.is_ok() {
        return Ok(());
    }
    let place = Some(PLACE.take());
    let short = mutate::shrink(input, |shorter| failure(order.target, shorter) == place);
    IS_LOUD.set(true);
    tell(true);
    failure(order.target, &short);
    tell(false);
    IS_LOUD.set(false);
    let path = env::temp_dir().join(format!("decdn-fuzz-{}-{}", order.name, name_of(&short)));
    fs::write(&path, &short).map_err(|why| format!("{}: {why}", path.display()))?;
    Err(format!("{} fails on {} bytes, written to {}", order.name, short.len(), path.display()))
}

/// How long this has been running.
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the edge: how long to go on")]
fn clock() -> impl Fn() -> Duration {
    let begun = std::time::Instant::now();
    move || begun.elapsed()
}
