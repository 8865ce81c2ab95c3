// Writes docs/index.md: for each built rule of docs/protocol.md the file that decides it, and what proves it.
//
//   .ci/index            writes it anew
//   .ci/index --check    fails if it is stale, or if a built rule has no room, no test or no mutant
//
// Everything is read from where it is kept anyway, so moved code needs no change here:
//
//   state      what stands behind the rule's id in docs/protocol.md: (built), (differs: …), (not yet)
//   room       the one file that decides the rule: where most of its mutants break it. Of several, the one whose first lines
//              (`//!`, in Solidity `///`) name it in brackets, as in "(D6–D8, V3)". ROOMS where neither says enough.
//              Of an invariant: its oracle, sim/src/check/o3_….rs
//   tests      whose names begin with the rule (`d8_…`, `test_C1_…`), and those that its mutants make fail
//   scenarios  whose files name the rule, or whose snapshot says that it was applied
//   mutants    of .ci/mutants and contracts/tools/mutants.mjs; of an invariant those that its oracle may notice
//
// What a built rule lacks needs a line in .ci/index.exceptions that says why. Exit code 0: nothing is wrong; 1: something is;
// 2: bad arguments.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const top = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const INDEX = 'docs/index.md';
const EXCEPTIONS = '.ci/index.exceptions';
const SOLIDITY_MUTANTS = 'contracts/tools/mutants.mjs';
const ID = '[A-Z]\\d{1,2}';

/** Rooms where mutants and headers don't say enough, or name another place: how the path ends, of a file that names the rule. */
const ROOMS = {
  I1: 'keys.rs',
  D1: 'node/request.rs',
  D4: 'blob/verify.rs',
  D8: 'machine/earnings.rs',
  D12: 'node/mod.rs',
  V1: 'engine/src/voucher.rs',
  V3: 'machine/earnings.rs',
  C8: 'contracts/src/IPaymentChannel.sol',
  V4: 'node/request.rs',
  V7: 'node/earn.rs',
  G3: 'cli/settings.rs',
  L1: 'l2/profile.rs',
  L2: 'l2/inbox.rs',
  L3: 'node/policy.rs',
  L4: 'machine/follower/heads.rs',
};

const args = process.argv.slice(2);
if (args.length > 1 || (args.length && args[0] !== '--check')) {
  console.error('.ci/index: it knows no argument but --check');
  process.exit(2);
}

const troubles = [];
const files = repository();
const sections = readRules();
const rules = new Map(sections.flatMap(({ rules }) => rules.map((rule) => [rule.id, rule])));
await collectMutants();
collectTests();
collectScenarios();
for (const rule of rules.values()) rule.room = isBuilt(rule) ? roomOf(rule) : undefined;
const exceptions = readExceptions();
judge();

const made = render();
const there = fs.existsSync(path.join(top, INDEX)) ? fs.readFileSync(path.join(top, INDEX), 'utf8') : '';
if (!args.length) {
  fs.writeFileSync(path.join(top, INDEX), made);
} else if (made !== there) {
  troubles.push(`${INDEX} is stale: run .ci/index and commit what it writes`);
}
for (const trouble of troubles) console.error(`.ci/index: ${trouble}`);
if (!troubles.length) console.log(`index: ${[...rules.values()].filter(isBuilt).length} built rules of ${rules.size}, ${exceptions.size} exceptions`);
process.exit(troubles.length ? 1 : 0);

/** What git knows or would take, by path. */
function repository() {
  const { stdout } = spawnSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: top, encoding: 'utf8', maxBuffer: 1 << 26 });
  const wanted = /\.(rs|sol|toml|snap)$/;
  const names = stdout.split('\n').filter((name) => wanted.test(name) && fs.existsSync(path.join(top, name)));
  return new Map(names.sort().map((name) => [name, read(name)]));
}

function read(name) {
  return fs.readFileSync(path.join(top, name), 'utf8');
}

function isBuilt({ state }) {
  return state !== 'not yet';
}

/** The sections of the protocol that state rules. */
function readRules() {
  const found = [];
  const seen = new Set();
  for (const part of read('docs/protocol.md').split(/^## /m).slice(1)) {
    const title = part.split('\n', 1)[0];
    const rules = [];
    for (const [, id, mark] of part.matchAll(new RegExp(`\\*\\*(${ID})\\*\\*(?: \\(([^)]*)\\))?`, 'g'))) {
      const state = mark?.match(/^(built$|not yet(?=$|: \S)|differs(?=: \S))/)?.[0];
      if (!state) troubles.push(`docs/protocol.md: ${id} does not say (built), (differs: …) or (not yet) behind its id`);
      if (seen.has(id)) troubles.push(`docs/protocol.md: ${id} is stated twice`);
      seen.add(id);
      rules.push({ id, state: state ?? 'built', tests: new Set(), scenarios: new Set(), mutants: [], solidity: false, broken: [] });
    }
    if (rules.length) found.push({ title, rules });
  }
  return found;
}

/** The rule that something names, or a trouble. */
function ruleOf(id, who) {
  const rule = rules.get(id);
  if (!rule) troubles.push(`${who} names ${id}, which docs/protocol.md does not state`);
  return rule;
}

async function collectMutants() {
  const folder = path.join(top, '.ci/mutants');
  for (const name of fs.readdirSync(folder).filter((name) => name.endsWith('.mjs')).sort()) {
    const theme = await import(pathToFileURL(path.join(folder, name)).href);
    for (const mutant of theme.default) {
      for (const oracle of mutant.oracle ?? []) {
        if (new RegExp(`^${ID}$`).test(oracle)) ruleOf(oracle, `mutant ${mutant.name}`)?.mutants.push(mutant.name);
      }
      // The driver's contract has numbers of its own, `io 3`.
      if (!new RegExp(`^${ID}$`).test(mutant.rule)) continue;
      const rule = ruleOf(mutant.rule, `mutant ${mutant.name}`);
      if (!rule) continue;
      rule.mutants.push(mutant.name);
      rule.broken.push(...new Set(mutant.edits.map(({ file }) => file)));
      for (const file of mutant.test ? testFiles(mutant.test) : []) rule.tests.add(file);
    }
  }
  const source = read(SOLIDITY_MUTANTS);
  const constants = new Map(Array.from(source.matchAll(/^const (\w+) = '(src\/[^']+)';/gm), ([, name, file]) => [name, file]));
  for (const [, id, file] of source.matchAll(new RegExp(`^  \\['(${ID}) [^']*', ([^,]+),`, 'gm'))) {
    const rule = ruleOf(id, SOLIDITY_MUTANTS);
    if (!rule) continue;
    rule.solidity = true;
    rule.broken.push(`contracts/${constants.get(file) ?? file.replaceAll("'", '')}`);
  }
}

/** Tests of a file by name. */
function testsIn(name, text) {
  if (name.endsWith('.sol')) return Array.from(text.matchAll(/^ +function ((?:test|testFuzz|invariant|check)_\w+)/gm), ([, test]) => test);
  const tests = [];
  let isTest = false;
  for (const line of text.split('\n')) {
    const test = line.match(/^\s*(?:pub )?(?:async )?fn (\w+)/)?.[1];
    if (test && isTest) tests.push(test);
    if (/^\s*#\[(\w+::)*test\b/.test(line)) isTest = true;
    else if (!/^\s*(#\[|\/\/)/.test(line)) isTest = false;
  }
  return tests;
}

/** Files of the tests that a mutant's command runs: cargo test -p PACKAGE --test FILE NAME. */
function testFiles(command) {
  const wanted = command.match(/\w+$/)[0];
  const place = command.match(/--test (\w+)/)?.[1];
  return [...files].filter(([name, text]) =>
    name.endsWith('.rs') && (!place || new RegExp(`/tests/${place}(\\.rs$|/)`).test(name)) && testsIn(name, text).some((test) => test.startsWith(wanted)),
  ).map(([name]) => name);
}

function collectTests() {
  for (const [name, text] of files) {
    if (!/\.(rs|sol)$/.test(name)) continue;
    for (const test of testsIn(name, text)) {
      const id = test.match(/^([a-z]\d{1,2})_/)?.[1].toUpperCase() ?? test.match(new RegExp(`^[a-zA-Z]+_(${ID})_`))?.[1];
      if (id) ruleOf(id, `${name}: ${test}`)?.tests.add(name);
    }
  }
}

function collectScenarios() {
  for (const [name, text] of files) {
    const theme = name.match(/^scenarios\/([^/]+)\/([^/]+)\.toml$/);
    if (!theme) continue;
    const snapshot = files.get(`scenarios/snapshots/${theme[1]}-${theme[2]}.snap`) ?? '';
    const applied = Array.from(snapshot.matchAll(/^rule (\w+) /gm), ([, id]) => id);
    // L1 and L2 are also chains: as rules they stand in brackets or before a colon.
    const named = Array.from(text.matchAll(new RegExp(`\\b(?:(?!L)${ID}\\b|L\\d\\b(?=[:,)]))`, 'g')), ([id]) => id);
    for (const id of new Set([...applied, ...named])) ruleOf(id, name)?.scenarios.add(`${theme[1]}/${theme[2]}`);
  }
}

/** Ids that the first lines of a file name in brackets: "(D6–D8, V3)" are four. */
function headerOf(name, text) {
  const lines = text.split('\n');
  const head = name.endsWith('.rs')
    ? lines.filter((line) => line.startsWith('//!'))
    : lines.slice(0, lines.findIndex((line) => /^(abstract contract|contract|interface|library) /.test(line))).filter((line) => line.startsWith('///'));
  const ids = new Set();
  for (const [, inside] of head.map((line) => line.slice(3)).join(' ').matchAll(/\(([^()]*)\)/g)) {
    for (const [, letter, first, last] of inside.matchAll(/\b([A-Z])(\d{1,2})\b(?:(?:–| to )\1(\d{1,2})\b)?/g)) {
      for (let at = Number(first); at <= Number(last ?? first); at += 1) ids.add(letter + at);
    }
  }
  return ids;
}

/** The file that decides a rule. */
function roomOf({ id, broken }) {
  const products = [...files].filter(([name]) => /^(engine|contracts|io)\/.*\.(rs|sol)$/.test(name) && !/\/(tests?|model|differential)\//.test(name));
  if (ROOMS[id]) {
    const named = products.filter(([name, text]) => `/${name}`.endsWith(`/${ROOMS[id]}`) && new RegExp(`\\b${id}\\b`).test(text));
    if (named.length !== 1) troubles.push(`ROOMS says that ${ROOMS[id]} decides ${id}, but ${named.length} such files name it`);
    return named[0]?.[0];
  }
  if (id.startsWith('O')) return [...files.keys()].find((name) => name.startsWith(`sim/src/check/${id.toLowerCase()}_`));
  const times = (name) => broken.filter((file) => file === name).length;
  const most = Math.max(...broken.map(times));
  const breaks = [...new Set(broken)].filter((name) => times(name) === most);
  const named = products.filter(([name, text]) => headerOf(name, text).has(id)).map(([name]) => name);
  const both = breaks.filter((name) => named.includes(name));
  const choice = [breaks, both, breaks.length ? [] : named].find((list) => list.length === 1);
  if (!choice) {
    const list = breaks.length ? breaks : named;
    if (list.length) troubles.push(`${id} has several rooms (${list.join(', ')}): say in ROOMS of .ci/index.mjs which one decides`);
  }
  return choice?.[0];
}

/** "X3 test: why" by "X3 test". */
function readExceptions() {
  const found = new Map();
  for (const line of read(EXCEPTIONS).split('\n')) {
    if (!line.trim() || line.startsWith('#')) continue;
    const [, id, lack, why] = line.match(new RegExp(`^(${ID}) (room|test|mutant): (\\S.{20,}\\.)$`)) ?? [];
    if (!id) troubles.push(`${EXCEPTIONS}: not "RULE room|test|mutant: a sentence that says why.": ${line}`);
    else if (found.has(`${id} ${lack}`)) troubles.push(`${EXCEPTIONS}: ${id} ${lack} is there twice`);
    else found.set(`${id} ${lack}`, why);
  }
  return found;
}

/** What a built rule lacks is an exception, and an exception is about what a built rule lacks. */
function judge() {
  const lacks = new Set();
  for (const rule of rules.values()) {
    if (!isBuilt(rule)) {
      if (rule.tests.size || rule.mutants.length) troubles.push(`${rule.id} is marked (not yet), and has tests or mutants: ${[...rule.tests, ...rule.mutants].join(', ')}`);
      continue;
    }
    const has = { room: rule.room, test: rule.tests.size, mutant: rule.mutants.length || rule.solidity };
    for (const [what, is] of Object.entries(has)) {
      if (is) continue;
      lacks.add(`${rule.id} ${what}`);
      if (!exceptions.has(`${rule.id} ${what}`)) troubles.push(`${rule.id} is built and has no ${what}; add one, or say why not in ${EXCEPTIONS}`);
    }
  }
  for (const exception of exceptions.keys()) {
    if (!lacks.has(exception)) troubles.push(`${EXCEPTIONS}: ${exception} excuses nothing any more`);
  }
}

function render() {
  const code = (names) => [...names].sort().map((name) => `\`${name}\``).join(', ');
  const lines = [
    '# Index of the rules',
    '',
    'Made by `.ci/index` from [protocol.md](protocol.md), the tests, the scenarios and the mutants; `.ci/index.mjs` says how. Each',
    'built rule has a *room*, the file that decides it, and what proves it. Tests have the rule at the beginning of their names, or are',
    'what its mutants make fail. A dash is an exception, with its reason at the end. `contracts/tools/mutants.mjs` names its mutants',
    'by the rule.',
    '',
  ];
  for (const { title, rules: all } of sections) {
    lines.push(`## ${title}`, '');
    const built = all.filter(isBuilt);
    if (built.length) lines.push('| rule | state | room | tests | scenarios | mutants |', '|---|---|---|---|---|---|');
    for (const rule of built) {
      const mutants = [...new Set([...rule.mutants, ...(rule.solidity ? [SOLIDITY_MUTANTS] : [])])];
      const cells = [rule.room ? code([rule.room]) : '—', code(rule.tests) || '—', code(rule.scenarios), code(mutants) || '—'];
      lines.push(`| ${rule.id} | ${rule.state} | ${cells.join(' | ')} |`);
    }
    if (built.length) lines.push('');
    const missing = all.filter((rule) => !isBuilt(rule)).map(({ id }) => id);
    if (missing.length) lines.push(`Not yet: ${missing.join(', ')}.`, '');
  }
  lines.push('## Exceptions', '', 'Why a built rule has no room, no test or no mutant.', '', '| rule | has no | because |', '|---|---|---|');
  const order = [...rules.keys()];
  const sorted = [...exceptions].sort(([a], [b]) => order.indexOf(a.split(' ')[0]) - order.indexOf(b.split(' ')[0]));
  for (const [key, why] of sorted) lines.push(`| ${key.replace(' ', ' | ')} | ${why} |`);
  return `${lines.join('\n')}\n`;
}
