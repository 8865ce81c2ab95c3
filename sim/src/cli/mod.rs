//! The command line. Exit codes: 0 all held, 1 a violation (or no border found), 2 bad input.

mod args;
mod bench;
mod border;
mod change;
mod csv;
mod grid;
mod out;
mod show;
mod tell;
mod verbose;

use std::{
    fs,
    io::{BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory, Parser};
use indicatif::{ProgressBar, ProgressStyle};

use self::{
    args::{Args, BenchArgs, Command, RunArgs, SweepArgs},
    out::{say, tell},
    show::Table,
};
use crate::{
    decide::Decisions,
    run,
    rung::Rung,
    scenario::{self, Scenario},
    sweep::{Made, Task, make, sweep},
    trace::{self, Ending},
};

/// Seeds per scenario of the short sweep behind a bare `cargo sim`.
const SHORT_SWEEP: u64 = 50;
/// A sweep of at least so many runs of a scenario must reach its probes.
const PROBE_RUNS: u64 = 50;

/// How a command ended, where it did not fail on its input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Held,
    Violated,
}

/// Something about the input is wrong: one sentence.
struct Bad(String);

impl<E: std::error::Error> From<E> for Bad {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// The program.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if !error.use_stderr() => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return bad(&args::sentence(&error)),
    };
    match execute(args.command) {
        Ok(Verdict::Held) => ExitCode::SUCCESS,
        Ok(Verdict::Violated) => ExitCode::from(1),
        Err(Bad(sentence)) => bad(&sentence),
    }
}

fn bad(sentence: &str) -> ExitCode {
    tell!("error: {sentence}");
    ExitCode::from(2)
}

fn execute(command: Option<Command>) -> Result<Verdict, Bad> {
    if let Some(Command::Completions { shell }) = command {
        clap_complete::generate(shell, &mut Args::command(), "decdn-sim", &mut std::io::stdout());
        return Ok(Verdict::Held);
    }
    if let Some(Command::Diff { a, b }) = command {
        return differ(&a, &b);
    }
    if let Some(Command::Bench(args)) = command {
        return bench::bench(&args);
    }
    if let Some(Command::Replay { file, trace, verbose }) = &command
        && trace::is_recording(file)
    {
        if trace.is_some() {
            return Err(Bad(format!(
                "{} is a recording, which has no trace; leave --trace out.",
                file.display()
            )));
        }
        return retold(file, *verbose);
    }
    let scenarios = scenario::all(&scenario::folder())?;
    if let Some(Command::List { json }) = command {
        show::list(&scenarios, json);
        return Ok(Verdict::Held);
    }
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts");
    decdn_contracts::check_sources(&contracts)?;
    match command {
        None => everything(&scenarios),
        Some(Command::Run(args)) => one(&scenarios, &args),
        Some(Command::Sweep(args)) => many(&scenarios, &args),
        Some(Command::Border(args)) => border::border(&scenarios, &args),
        Some(Command::Replay { file, trace, verbose }) => again(&scenarios, &file, trace.as_deref(), verbose),
        Some(
            Command::List { .. } | Command::Diff { .. } | Command::Bench(_) | Command::Completions { .. },
        ) => Ok(Verdict::Held),
    }
}

/// `cargo sim`: every scenario on the real rung, then a short ideal sweep of each.
fn everything(scenarios: &[Scenario]) -> Result<Verdict, Bad> {
    let real = scenarios.iter().map(|scenario| Task { scenario, seed: 0, rung: Rung::Real });
    let ideal = scenarios
        .iter()
        .flat_map(|scenario| (0..SHORT_SWEEP).map(move |seed| Task { scenario, seed, rung: Rung::Ideal }));
    let tasks: Vec<Task<'_>> = real.chain(ideal).collect();
    run_all(&tasks, cores(), None, Form::Table, true)
}

/// How runs are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Table,
    Json,
    Csv,
}

impl Form {
    fn of(json: bool, csv: bool) -> Self {
        match (json, csv) {
            (true, _) => Self::Json,
            (_, true) => Self::Csv,
            _ => Self::Table,
        }
    }
}

fn many(scenarios: &[Scenario], args: &SweepArgs) -> Result<Verdict, Bad> {
    let chosen: Vec<Scenario> = if args.names.is_empty() {
        scenarios.to_vec()
    } else {
        args.names.iter().map(|name| change::choose(scenarios, name)).collect::<Result<_, _>>()?
    };
    let form = Form::of(args.json, args.csv);
    let at_most = args.seconds.map(Duration::from_secs);
    let jobs = args.jobs.unwrap_or_else(cores);
    let combinations = change::combinations(&args.changes)?;
    change::count(chosen.len().saturating_mul(combinations.len()), args.seeds)?;
    let changed = change::each(&chosen, &combinations)?;
    let tasks: Vec<Task<'_>> = changed
        .iter()
        .flat_map(|scenario| (0..args.seeds).map(move |seed| Task { scenario, seed, rung: args.rung.into() }))
        .collect();
    if !args.changes.grid.is_empty() {
        return grid::grid(&args.changes, &tasks, jobs, at_most, form);
    }
    // What a scenario must reach, it must reach as its file has it.
    run_all(&tasks, jobs, at_most, form, args.changes.set.is_empty())
}

fn run_all(
    tasks: &[Task<'_>],
    jobs: usize,
    at_most: Option<Duration>,
    form: Form,
    must_reach: bool,
) -> Result<Verdict, Bad> {
    let bar = progress(tasks.len() as u64);
    let mut table = Table::default();
    let mut broken: Vec<Made> = Vec::new();
    if form == Form::Csv {
        csv::head();
    }
    sweep(tasks, jobs, at_most, |made| {
        bar.set_message(made.scenario.clone());
        bar.inc(1);
        table.add(&made);
        match form {
            Form::Table => {}
            Form::Json => bar.suspend(|| say!("{}", show::json(&made))),
            Form::Csv => bar.suspend(|| csv::run(&made)),
        }
        if !made.is_ok() {
            bar.suspend(|| show::violations(&made));
            broken.push(made);
        }
    });
    bar.finish_and_clear();
    if form == Form::Table {
        table.print();
    }
    let missed = if must_reach { table.missed(tasks, PROBE_RUNS) } else { Vec::new() };
    for text in &missed {
        tell!("probe: {text}");
    }
    let unexplained = if must_reach { table.unexplained(tasks, PROBE_RUNS) } else { Vec::new() };
    for text in &unexplained {
        tell!("gas: {text}");
    }
    // One trace for each scenario that broke: the first says what went wrong.
    let mut seen: Vec<&str> = Vec::new();
    for made in &broken {
        if !seen.contains(&made.scenario.as_str()) {
            seen.push(&made.scenario);
            let task = tasks.iter().find(|task| task.scenario.name == made.scenario);
            task.map_or(Ok(()), |task| keep_slim(task.scenario, made))?;
        }
    }
    let is_well = broken.is_empty() && missed.is_empty() && unexplained.is_empty();
    Ok(if is_well { Verdict::Held } else { Verdict::Violated })
}

fn one(scenarios: &[Scenario], args: &RunArgs) -> Result<Verdict, Bad> {
    let base = change::choose(scenarios, &args.name)?;
    let rung: Rung = args.rung.into();
    let combinations = change::combinations(&args.changes)?;
    let changed = change::each(std::slice::from_ref(&base), &combinations)?;
    let tasks: Vec<Task<'_>> =
        changed.iter().map(|scenario| Task { scenario, seed: args.seed, rung }).collect();
    let form = Form::of(args.json, args.csv);
    if !args.changes.grid.is_empty() {
        return grid::grid(&args.changes, &tasks, cores(), None, form);
    }
    let Some(task) = tasks.first() else { return Ok(Verdict::Held) };
    let scenario = task.scenario;
    if args.verbose {
        verbose::status_lines(scenario, rung, Decisions::seeded(args.seed));
    }
    let made = make(task);
    match form {
        Form::Table if args.story => tell::story(task, &made),
        Form::Table => show::run(&made),
        Form::Json => say!("{}", show::json_of_one(&made, scenario)),
        Form::Csv => {
            csv::head();
            csv::run(&made);
        }
    }
    if let Some(path) = &args.trace {
        write_trace(scenario, rung, Decisions::seeded(args.seed), Some(args.seed), true, path)?;
    }
    if made.is_ok() {
        return Ok(Verdict::Held);
    }
    show::violations(&made);
    keep_slim(scenario, &made)?;
    Ok(Verdict::Violated)
}

/// Writes the slim trace of a run that broke something, where it won't be in the way.
fn keep_slim(scenario: &Scenario, made: &Made) -> Result<(), Bad> {
    if made.violations.iter().any(|violation| violation.rule == "panic") {
        return Ok(());
    }
    // One that was changed does not take the place of the one as it is in its file.
    let mut name = made.scenario.replace(['/', '\\'], "-");
    if change::is_path(&made.scenario) {
        let stem = Path::new(&made.scenario).file_stem().unwrap_or_default();
        name = format!("{}-{}", stem.to_string_lossy(), &scenario.hash[..8]);
    } else if !made.set.is_empty() {
        name = format!("{name}-{}", &scenario.hash[..8]);
    }
    let name = format!("{name}-{}-{}.trace.zst", made.seed, made.rung.name());
    let folder = PathBuf::from("target/sim-traces");
    let path = folder.join(name);
    fs::create_dir_all(&folder).map_err(|why| {
        Bad(format!("{} can't be made ({why}); run this where you may write.", folder.display()))
    })?;
    write_trace(scenario, made.rung, Decisions::seeded(made.seed), Some(made.seed), false, &path)?;
    tell!("trace: {}", path.display());
    Ok(())
}

fn write_trace(
    scenario: &Scenario,
    rung: Rung,
    decide: Decisions,
    seed: Option<u64>,
    full: bool,
    path: &Path,
) -> Result<(), Bad> {
    let wrong = |why: std::io::Error| {
        Bad(format!("{} can't be written ({why}); name a file where you may write.", path.display()))
    };
    let file = fs::File::create(path).map_err(wrong)?;
    let encoder = zstd::Encoder::new(BufWriter::new(file), 3).map_err(wrong)?;
    let head = run::head(scenario, rung, seed, full);
    let (_, encoder) = run::traced(scenario, &head, decide, encoder).map_err(wrong)?;
    encoder.finish().and_then(|mut file| file.flush()).map_err(wrong)
}

fn again(scenarios: &[Scenario], file: &Path, to: Option<&Path>, is_verbose: bool) -> Result<Verdict, Bad> {
    let artifacts = decdn_contracts::artifacts::recorded_hash();
    let scenarios = &change::for_trace(scenarios, file)?;
    if is_verbose {
        let script = trace::script(file, scenarios, artifacts)?;
        verbose::status_lines(script.scenario, script.head.rung, Decisions::recorded(script.choices));
    }
    let (head, outcome) = trace::replay(file, scenarios, artifacts)?;
    if let Some(to) = to {
        let script = trace::script(file, scenarios, artifacts)?;
        let decide = Decisions::recorded(script.choices);
        write_trace(script.scenario, head.rung, decide, head.seed, true, to)?;
    }
    let held = outcome.is_ok();
    say!(
        "{}: the run of {} goes as written, {} steps, digest {}",
        file.display(),
        head.scenario,
        outcome.ran.steps,
        show::hex(&outcome.ran.digest[..8])
    );
    for violation in &outcome.violations {
        say!("{}: {}", violation.oracle, violation.text);
    }
    Ok(if held { Verdict::Held } else { Verdict::Violated })
}

/// Tells a recording again.
fn retold(file: &Path, is_verbose: bool) -> Result<Verdict, Bad> {
    if is_verbose {
        verbose::heading();
    }
    let incident = trace::retell(file, |fed, outputs| {
        if is_verbose {
            verbose::transition(fed.at.mono, "", &fed.input, outputs);
        }
    })?;
    let ending = match incident.ending {
        Ending::Stopped => "a clean stop",
        Ending::Open => "no stop: the process died, or its recording",
        Ending::Torn => "a torn line: the process died there",
    };
    if let Some(line) = incident.panicked {
        let file = file.display();
        tell!("{file}:{line}: the engine panics here; the lines up to this one reproduce it");
        return Ok(Verdict::Violated);
    }
    say!(
        "{}: the {} of decdn {} goes as recorded, {} inputs, digest {}; it ends with {ending}",
        file.display(),
        incident.role,
        incident.software,
        incident.inputs,
        show::hex(&incident.digest.0[..8])
    );
    Ok(Verdict::Held)
}

fn differ(a: &Path, b: &Path) -> Result<Verdict, Bad> {
    let parting = match (trace::is_recording(a), trace::is_recording(b)) {
        (true, true) => trace::diff_recordings(a, b)?,
        (false, false) => trace::diff(a, b)?,
        (is_first, _) => {
            let recording = if is_first { a } else { b };
            return Err(Bad(format!(
                "{} is a recording and the other is none; give two of the same kind.",
                recording.display()
            )));
        }
    };
    match parting {
        None => {
            say!("they are equal");
            Ok(Verdict::Held)
        }
        Some((line, left, right)) => {
            say!("they part at line {line}");
            for (path, side) in [(a, left), (b, right)] {
                say!("{}: {}", path.display(), side.as_deref().unwrap_or("(ends here)"));
            }
            Ok(Verdict::Violated)
        }
    }
}

fn progress(length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} runs, {eta} left  {msg}");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
