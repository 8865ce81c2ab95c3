// Breaks one rule at a time and demands that an oracle of the simulator notices, or a test where no simulator can.
//
//   .ci/mutants.sh --check       whether every mutant still applies, in less than a second
//   .ci/mutants.sh --list        what there is
//   .ci/mutants.sh --sample N    N of them, others each day
//   .ci/mutants.sh --all
//   .ci/mutants.sh NAME...
//
// MUTANTS_TARGET_DIR keeps the clone and what was built for the next time, for one run at a time; CARGO_BUILD_BUILD_DIR is where
// dependencies are built already. Exit code 0: all caught; 1: one was not, or does not apply; 2: bad arguments.
//
// A module of .ci/mutants lists mutants of one theme:
//
//   name    what it is called
//   rule    the id of what it breaks in docs/protocol.md; `io 3` is number 3 of the driver's contract (io/driver/src/lib.rs)
//   breaks  one sentence: what is wrong now
//   oracle  [O3, …]: which oracles may notice first; `check` is a role's own invariants, `world` a panic, `bound` and `probe`
//           what a scenario demands by itself
//   test    or the command that notices: cargo test -p PACKAGE --test FILE NAME
//   edits   [{ file, from, to }, …]: `from` is once in the file when its turn comes. Spaces, line ends and the comma before
//           a closing bracket don't count, so formatting never matters. The shortest unambiguous text moves best.
//
// Mutants run in a scratch clone of HEAD: what is not committed is not there. What a mutant touches is rebuilt (contracts
// too), and plain `cargo sim` has to come to a complaint of one of the oracles, and to a repro line that ends with exit 1 and
// such a complaint in the mutant and green in the clean tree. A compile error, a stale artifact or a mutant that nobody notices is a failure. A
// `test` has to compile, to fail by a test that it names on its own line, and to pass at least one test in the clean tree.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const top = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const USAGE = '--check | --list | --sample N | --all | NAME...';

const known = await load();
const asked = parse(process.argv.slice(2));
if (asked.list) {
  for (const { name, rule, breaks } of known) console.log(`${name.padEnd(32)} ${rule}: ${breaks}`);
  process.exit(0);
}
// All of them, whatever was asked for: a mutant that no longer applies is found by whoever changed the code.
const troubles = check();
for (const trouble of troubles) console.error(`.ci/mutants.sh: ${trouble}`);
if (troubles.length) process.exit(1);
if (asked.check) {
  console.log(`mutants: all ${known.length} apply, to ${new Set(known.map(({ rule }) => rule)).size} rules`);
  process.exit(0);
}

const place = fs.mkdtempSync(path.join(os.tmpdir(), 'mutants-'));
const kept = process.env.MUTANTS_TARGET_DIR && path.resolve(process.env.MUTANTS_TARGET_DIR);
const target = kept ?? path.join(place, 'target');
// At the same place as before, so that nothing but what has changed is built anew.
const tree = path.join(kept ?? place, 'tree');
// One target folder for all: only what a mutant touches is built again, in small pieces, as fast as it goes. What a clean
// tree takes seconds for, a mutant gets minutes.
const env = { ...process.env, CARGO_TARGET_DIR: target, CARGO_PROFILE_RELEASE_LTO: 'off' };
delete env.DECDN_TIMES; // no step of .ci/run by itself
const BUILD = [
  'build', '--quiet', '--release', '--workspace', '--bin', 'decdn-sim', '--examples', // as .ci/run builds it: the same dependencies
  ...['incremental=true', 'package.decdn-sim.opt-level=1', 'package.decdn-sim.codegen-units=64'].flatMap((line) => ['--config', `profile.release.${line}`]),
];
const SIM = path.join(target, 'release/decdn-sim');
const CLEAN_SIM = path.join(place, 'clean-sim');
const children = new Set();
const LOCK = path.join(target, 'mutants.pid');
let isOurs = false;
process.on('exit', () => {
  for (const child of children) end(child);
  fs.rmSync(place, { recursive: true, force: true });
  if (kept && isOurs) fs.rmSync(LOCK, { force: true });
});
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) process.on(signal, () => process.exit(code));
process.exit((await runAll(asked.mutants)) ? 0 : 1);

/** What the themes list, by name. */
async function load() {
  const folder = path.join(top, '.ci/mutants');
  const files = fs.readdirSync(folder).filter((name) => name.endsWith('.mjs'));
  const themes = await Promise.all(files.sort().map((name) => import(pathToFileURL(path.join(folder, name)).href)));
  return themes.flatMap((theme) => theme.default).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function refuse(sentence) {
  console.error(`.ci/mutants.sh: ${sentence}`);
  process.exit(2);
}

/** What the arguments ask for. */
function parse([first, ...rest]) {
  if (first === undefined) refuse(`say which: ${USAGE}`);
  if (first === '--sample') {
    if (rest.length !== 1 || !/^[1-9]\d*$/.test(rest[0])) refuse('--sample needs one number, how many: --sample 3');
    const count = Math.min(Number(rest[0]), known.length);
    const start = Math.floor(Date.now() / 86_400_000) * count;
    return { mutants: Array.from({ length: count }, (_, at) => known[(start + at) % known.length]) };
  }
  const flag = [first, ...rest].find((word) => word.startsWith('-'));
  if (flag !== undefined) {
    if (!['--check', '--list', '--all'].includes(flag)) refuse(`there is no flag ${flag}; there are: ${USAGE}`);
    if (rest.length) refuse(`${flag} stands alone; say one of: ${USAGE}`);
    return { check: flag === '--check', list: flag === '--list', mutants: known };
  }
  const names = new Set([first, ...rest]);
  const missing = [...names].find((name) => !known.some((mutant) => mutant.name === name));
  if (missing !== undefined) refuse(`there is no mutant ${missing}; --list shows them`);
  return { mutants: [...names].map((name) => known.find((mutant) => mutant.name === name)) };
}

/** A sentence for each thing that is wrong with a mutant. */
function check() {
  const read = (file) => fs.readFileSync(path.join(top, file), 'utf8');
  const rules = new Set([
    ...Array.from(read('docs/protocol.md').matchAll(/\*\*([A-Z]\d+)\b/g), ([, id]) => id),
    ...Array.from(read('docs/protocol.md').matchAll(/^\| (O\d+) \|/gm), ([, id]) => id),
    ...Array.from(read('io/driver/src/lib.rs').matchAll(/^\/\/! (\d+)\. \*\*/gm), ([, number]) => `io ${number}`),
  ]);
  const seen = new Set();
  const wrong = [];
  for (const mutant of known) {
    const { name, rule, breaks, oracle, test, edits } = mutant;
    const say = (text) => wrong.push(`${name}: ${text}`);
    if (typeof name !== 'string' || !/^[a-z0-9-]+$/.test(name)) {
      say('its name has to be small letters, digits and hyphens');
    } else if (seen.has(name)) {
      say('there are two of that name');
    }
    seen.add(name);
    if (!rules.has(rule)) say(`there is no rule ${rule} in docs/protocol.md or io/driver/src/lib.rs`);
    if (!breaks) say('it has to say what it breaks');
    if ((oracle === undefined) === (test === undefined)) {
      say("it has to name its oracles (oracle: ['O3', 'O12']) or one command (test: 'cargo test …'), not both");
    } else if (oracle !== undefined) {
      if (!Array.isArray(oracle) || !oracle.length) say("its oracles are a list: ['O3', 'O12']");
      else for (const one of oracle) if (!/^(O\d+|bound|check|probe|world)$/.test(one)) say(`there is no oracle ${one}`);
    } else if (!/^cargo test (?!.*["'\\$]).*\b\w+$/.test(test)) {
      say(`its command has to be plain and to end with the test's name: ${test}`);
    } else {
      const wanted = test.match(/\w+$/)[0];
      const sources = repository().filter(({ file }) => file.endsWith('.rs'));
      if (!sources.some(({ text }) => new RegExp(`\\bfn \\w*${wanted}`).test(text))) say(`no test is called ${wanted} any more`);
    }
    const odd = Object.keys(mutant).find((key) => !['name', 'rule', 'breaks', 'oracle', 'test', 'edits'].includes(key));
    if (odd) say(`nobody reads its ${odd}`);
    const trouble = broken(top, edits ?? []).trouble;
    if (trouble) say(trouble);
  }
  return wrong;
}

/** The files of a tree after some edits, by path, or why they can't be made. */
function broken(root, edits) {
  const files = new Map();
  if (!edits.length) return { trouble: 'it edits nothing' };
  for (const { file, from, to } of edits) {
    if (!file || !from?.trim() || typeof to !== 'string') return { trouble: 'each of its edits needs file, from and to' };
    const whole = path.join(root, file);
    if (!files.has(file)) {
      if (!fs.existsSync(whole)) return { trouble: `${file} is gone; its text is ${whereabouts(from)}:\n  ${from}` };
      files.set(file, fs.readFileSync(whole, 'utf8'));
    }
    const text = files.get(file);
    const found = [...text.matchAll(pattern(from))];
    if (!found.length) return { trouble: `its text is gone from ${file} and is ${whereabouts(from, file)}:\n  ${from}` };
    if (found.length > 1) {
      const lines = found.map(({ index }) => text.slice(0, index).split('\n').length);
      return { trouble: `its text is ${found.length} times in ${file} (lines ${lines.join(', ')}), say more of it:\n  ${from}` };
    }
    const [{ index, 0: old }] = found;
    files.set(file, text.slice(0, index) + to + text.slice(index + old.length));
  }
  return { files };
}

/** Finds a text whatever a formatter did to its spaces, its line ends, and the comma before a closing bracket. */
function pattern(text) {
  const pieces = text.match(/\w+|[^\w\s]/g);
  const word = (piece) => /\w/.test(piece);
  let made = word(pieces[0]) ? '(?<!\\w)' : '';
  for (const [at, piece] of pieces.entries()) {
    if (at > 0) made += word(piece) && word(pieces[at - 1]) ? '\\s+' : '\\s*';
    if (at > 0 && ')]}'.includes(piece) && pieces[at - 1] !== ',') made += '(?:,\\s*)?';
    made += word(piece) ? piece : `\\${piece}`;
  }
  return new RegExp(made + (word(pieces.at(-1)) ? '(?!\\w)' : ''), 'g');
}

/** Where a text is now, in words. */
function whereabouts(from, but) {
  const where = repository()
    .map(({ file, text }) => ({ file, times: file === but ? 0 : [...text.matchAll(pattern(from))].length }))
    .filter(({ times }) => times)
    .map(({ file, times }) => (times > 1 ? `${file} (${times} times)` : file));
  return where.length ? `now in ${where.join(', ')}` : 'nowhere else';
}

/** Every source file of the project, read once. */
function repository() {
  if (!repository.files) {
    const { stdout } = spawnSync('git', ['ls-files', '-co', '--exclude-standard', '*.rs', '*.sol'], { cwd: top, encoding: 'utf8', maxBuffer: 1 << 26 });
    const there = stdout.split('\n').filter((file) => file && fs.existsSync(path.join(top, file)));
    repository.files = there.map((file) => ({ file, text: fs.readFileSync(path.join(top, file), 'utf8') }));
  }
  return repository.files;
}

/** Runs mutants one after the other; whether all were caught. */
async function runAll(mutants) {
  if (kept) claim();
  console.log(`mutants: ${mutants.length} of ${known.length}`);
  if (fs.existsSync(path.join(tree, '.git'))) {
    await must('git', ['fetch', '--quiet', top, 'HEAD']);
    await must('git', ['checkout', '--quiet', '--force', '--detach', 'FETCH_HEAD']);
    await restore();
  } else {
    await must('git', ['clone', '--quiet', top, tree], { cwd: top });
  }
  const modules = path.join(top, 'contracts/node_modules');
  if (fs.existsSync(modules) && !fs.existsSync(path.join(tree, 'contracts/node_modules'))) {
    fs.cpSync(modules, path.join(tree, 'contracts/node_modules'), { recursive: true, verbatimSymlinks: true });
  }
  if (mutants.some(({ oracle }) => oracle)) {
    console.log('mutants: the clean tree first');
    await must('cargo', BUILD, {}, 'the clean tree does not build');
    await must(SIM, [], { seconds: 600 }, 'the clean tree is not green');
    fs.copyFileSync(SIM, CLEAN_SIM);
  }
  let fine = true;
  for (const mutant of mutants) {
    const started = Date.now();
    const made = await tryOne(mutant);
    const seconds = Math.round((Date.now() - started) / 1000);
    console.log(`${mutant.name.padEnd(32)} ${String(seconds).padStart(4)} s  ${made.why ?? `caught by ${made.by} (${made.repro})`}`);
    fine &&= !made.why;
  }
  if (!fine) console.error('mutants: something got through the net');
  return fine;
}

/** What came of a mutant: who caught it and what repeats that, or why it doesn't count. */
async function tryOne(mutant) {
  const made = await breakIt(mutant);
  await restore();
  return made.why ? made : { ...made, why: await (mutant.test ? testIsNoBetter(mutant.test) : runIsNoBetter(made.repro)) };
}

/** The tree as it was. Only what a mutant touched gets a new time, so only that is built again. */
async function restore() {
  await must('git', ['checkout', '--quiet', '--force', '.']);
  await must('git', ['clean', '-qfd', '-e', 'contracts/node_modules']);
}

/** One run at a time has the folder that is kept. */
function claim() {
  fs.mkdirSync(target, { recursive: true });
  const other = fs.existsSync(LOCK) && Number(fs.readFileSync(LOCK, 'utf8'));
  if (other && isAlive(other)) refuse(`process ${other} is at work in ${target}: wait for it, or let MUTANTS_TARGET_DIR be another folder`);
  fs.writeFileSync(LOCK, String(process.pid));
  isOurs = true;
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function breakIt(mutant) {
  const { files, trouble } = broken(tree, mutant.edits);
  if (trouble) return { why: `does not apply to what is committed: ${trouble}` };
  for (const [file, text] of files) fs.writeFileSync(path.join(tree, file), text);
  if ([...files.keys()].some((file) => file.startsWith('contracts/src/'))) {
    const { code } = await run('node', ['contracts/tools/artifacts.mjs', 'build']);
    if (code) return { why: 'its Solidity does not compile' };
  }
  return mutant.test ? byTest(mutant.test) : bySimulator(mutant.oracle);
}

/** Who complained in what the simulator printed. */
function speakers(text) {
  return [...new Set(Array.from(text.matchAll(/^(O\d+|bound|check|probe|world)[ :]/gm), ([, who]) => who))];
}

/** The first run that one of these oracles complained of, as the simulator says how to repeat it. */
function complaint(text, oracle) {
  const parts = text.split(/^(?=repro: )/m);
  const at = parts.findIndex((part) => speakers(part).some((who) => oracle.includes(who)));
  return parts[at + 1]?.match(/^repro: cargo sim (run .*)\n/)?.[1];
}

async function bySimulator(oracle) {
  const built = await run('cargo', BUILD);
  if (built.code) return { why: `does not compile: ${firstError(built.text)}` };
  // What it would find beyond that is not waited for: a mutant may make a run in hundreds go on up to its limit.
  const { code, text } = await run(SIM, [], { seconds: 600, until: (text) => complaint(text, oracle) });
  if (code !== 1) return { why: `cargo sim ended with exit ${code}, not 1: nobody noticed` };
  const said = speakers(text).filter((who) => oracle.includes(who));
  if (!said.length) return { why: `noticed by ${speakers(text).join(' ')} and not by ${oracle.join(' ')}` };
  // What no run reaches, a sweep like this one doesn't.
  const missed = text.match(/^probe: (\S+) never reached/m)?.[1];
  const repro = complaint(text, oracle) ?? (missed && `sweep ${missed} --seeds 50`);
  if (!repro) return { why: 'no repro line' };
  const again = await run(SIM, repro.split(' '), { seconds: 600 });
  const by = speakers(again.text).filter((who) => oracle.includes(who));
  if (again.code !== 1 || !by.length) return { why: `its repro line ends with exit ${again.code}, noticed by ${speakers(again.text).join(' ') || 'nobody'}: ${repro}` };
  return { by: by.join(' '), repro };
}

async function runIsNoBetter(repro) {
  const { code } = await run(CLEAN_SIM, repro.split(' '), { seconds: 600 });
  return code ? `its repro line is no better in the clean tree: ${repro}` : undefined;
}

async function byTest(command) {
  const [, ...words] = command.split(/\s+/);
  const built = await run('.ci/cargo', [words[0], '--no-run', '--quiet', ...words.slice(1)]);
  if (built.code) return { why: `does not compile: ${firstError(built.text)}` };
  const { code, text } = await run('.ci/cargo', words, { seconds: 600 });
  const by = Array.from(text.matchAll(/^test (.*) \.\.\. FAILED$/gm), ([, test]) => test);
  if (code !== 101 || !by.length) return { why: `ended with exit ${code}, no test failed by name: ${command}` };
  return { by: by.join(' '), repro: command };
}

/** Once for each command: the clean tree is the same for all. */
function testIsNoBetter(command) {
  testIsNoBetter.known ??= new Map();
  if (!testIsNoBetter.known.has(command)) {
    const passes = run('.ci/cargo', command.split(/\s+/).slice(1)).then(({ code, text }) => code === 0 && /^test result: ok\. [1-9]/m.test(text));
    testIsNoBetter.known.set(command, passes);
  }
  return testIsNoBetter.known.get(command).then((passes) => (passes ? undefined : `its test is no better in the clean tree, or does not exist: ${command}`));
}

function firstError(text) {
  return text.match(/^error.*$/m)?.[0] ?? text.split('\n', 1)[0];
}

/** Runs a program of the scratch tree to its end, or until it has said enough: its exit code, 124 if it took too long, 1 if it has
 *  said enough, and what it said. */
function run(program, args, { cwd = tree, seconds = 1800, until } = {}) {
  return new Promise((done) => {
    // A group of its own, so that all of it can be ended.
    const child = spawn(program, args, { cwd, env: cwd === tree ? env : process.env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(child);
    let text = '';
    let [late, enough] = [false, false];
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (more) => {
        text += more;
        if (enough || !more.includes('repro: ') || !until?.(text)) return;
        enough = true;
        end(child);
      });
    }
    const alarm = setTimeout(() => ((late = true), end(child)), seconds * 1000);
    const finish = (code) => {
      clearTimeout(alarm);
      children.delete(child);
      done({ code: late ? 124 : enough ? 1 : code, text });
    };
    child.on('error', (error) => ((text += error.message), finish(127)));
    child.on('close', (code) => finish(code ?? 1));
  });
}

/** For what can't fail for a mutant's sake: says what went wrong and ends. */
async function must(program, args, options, what = `${program} ${args[0]} fails`) {
  const { code, text } = await run(program, args, options);
  if (!code) return;
  console.error(text.split('\n').slice(-30).join('\n'));
  console.error(`mutants: ${what}`);
  process.exit(1);
}

function end(child) {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}
