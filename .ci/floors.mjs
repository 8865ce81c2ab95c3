// The engine's floors: what a module names of the crate lies on a floor below its own, or beside it where that is said here.
// And its machines: none names a sibling, a role, or what holds one. And its roles: no methods of several files call each other in a
// circle.
//
//   node .ci/floors.mjs [--list]     --list prints each module's floor with what it names
//
// A module is a file or folder right below engine/src; each machine and each role is one too. What `#[cfg(test)]` holds, and a file
// called tests.rs, does not count.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const src = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../engine/src');

// From the ground up. Modules of one line may not name each other.
const FLOORS = [
  ['fixed'],
  ['ids', 'money', 'time'],
  ['limits', 'uint256', 'bid', 'worth'],
  ['state', 'crypto', 'order', 'blob'],
  ['delivery'],
  ['wire', 'record'],
  ['voucher', 'chain'],
  ['fault'],
  ['io'],
  ['dispute'],
  ['machine'],
  ['machine/*'],
  ['roles/check', 'roles/config', 'roles/role'],
  ['roles/client'],
  ['roles/*'],
  ['roles'],
  ['lib'],
];
const floor = new Map(FLOORS.flatMap((names, at) => names.map((name) => [name, at])));

const files = (dir) =>
  fs.readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const at = path.join(dir, entry.name);
    if (entry.isDirectory()) return files(at);
    return entry.name.endsWith('.rs') && entry.name !== 'tests.rs' ? [at] : [];
  });

// roles/client/pay.rs belongs to roles/client, machine/mod.rs to machine, chain/cursor.rs to chain.
function moduleOf(file) {
  const parts = path.relative(src, file).replace(/\.rs$/, '').split(path.sep);
  const nested = ['machine', 'roles'].includes(parts[0]) && parts.length > 1 && parts[1] !== 'mod';
  return nested ? `${parts[0]}/${parts[1]}` : parts[0];
}

// Every path that begins with `root`, as lists of names: use-trees are taken apart.
function pathsFrom(text, root) {
  const found = [];
  const tree = (at, prefix) => {
    const name = /^\s*([A-Za-z_][A-Za-z0-9_]*)/.exec(text.slice(at));
    if (name) {
      const next = at + name[0].length;
      const so_far = [...prefix, name[1]];
      if (text.startsWith('::', next)) return tree(next + 2, so_far);
      found.push(so_far);
      return next;
    }
    const open = /^\s*\{/.exec(text.slice(at));
    if (!open) return found.push(prefix), at;
    at += open[0].length;
    for (;;) {
      const rest = /^[\s,]*/.exec(text.slice(at))[0].length;
      if (text[at + rest] === '}') return at + rest + 1;
      const next = tree(at + rest, prefix);
      if (next === at + rest) return next;
      at = next;
      at += /^(\s+as\s+\w+)?/.exec(text.slice(at))[0].length;
    }
  };
  for (const match of text.matchAll(new RegExp(`\\b${root}::`, 'g'))) tree(match.index + match[0].length, []);
  return found;
}

function named(file) {
  let text = fs.readFileSync(file, 'utf8');
  const tests = text.search(/^#\[cfg\(test\)\]$/m);
  if (tests >= 0) text = text.slice(0, tests);
  text = text.replace(/\/\/.*$/gm, '').replace(/"(?:[^"\\]|\\.)*"/g, '""').replace(/\bpub\(in [^)]*\)/g, 'pub');
  const own = moduleOf(file);
  const of = ([first, second]) => {
    const isNested = ['machine', 'roles'].includes(first) && second && fs.existsSync(path.join(src, first, second === 'mod' ? '-' : `${second}.rs`));
    const isFolder = ['machine', 'roles'].includes(first) && second && fs.existsSync(path.join(src, first, second));
    return isNested || isFolder ? `${first}/${second}` : first;
  };
  const crate = pathsFrom(text, 'crate').map(of);
  // `super` of a file right below machine or roles is that folder; siblings go by it.
  const isTop = /^(machine|roles)[\\/][a-z_]+\.rs$/.test(path.relative(src, file)) || /^roles[\\/][a-z_]+[\\/]mod\.rs$/.test(path.relative(src, file));
  const folder = own.split('/')[0];
  const above = isTop && own.includes('/') ? pathsFrom(text, 'super').map((names) => of([folder, ...names])) : [];
  const below = ['machine', 'roles'].includes(own) ? pathsFrom(text, 'self').map((names) => of([folder, ...names])) : [];
  return [...new Set([...crate, ...above, ...below])].filter((name) => name !== own);
}

// Methods of a role that call each other in a circle over files, by `self.name(`; each group once.
function circles(folder) {
  const methods = new Map();
  for (const file of files(folder).filter((file) => !/[\\/](check|canon)(\.rs|[\\/])/.test(file))) {
    const text = fs.readFileSync(file, 'utf8').replace(/\/\/.*$/gm, '');
    for (const { 1: name, index } of text.matchAll(/\n    (?:pub(?:\([a-z: ]+\))? )?fn (\w+)/g)) {
      const end = text.indexOf('\n    }\n', index);
      const calls = [...text.slice(index, end).matchAll(/\bself\s*\.(\w+)\(/g)].map((call) => call[1]);
      methods.set(name, { file: path.basename(file), calls });
    }
  }
  const reach = (from) => {
    const seen = new Set();
    const todo = [from];
    while (todo.length) for (const to of methods.get(todo.pop()).calls) if (methods.has(to) && !seen.has(to)) seen.add(to) && todo.push(to);
    return seen;
  };
  const from = new Map([...methods.keys()].map((name) => [name, reach(name)]));
  const groups = new Set();
  for (const [name, reached] of from) {
    const group = [...reached].filter((other) => from.get(other).has(name)).sort();
    const spread = new Set(group.map((other) => methods.get(other).file));
    if (reached.has(name) && spread.size > 1) groups.add(`${group.join(', ')} in ${[...spread].sort().join(', ')}`);
  }
  return [...groups];
}

const wrong = [];
const roles = path.join(src, 'roles');
for (const entry of fs.readdirSync(roles, { withFileTypes: true }).filter((entry) => entry.isDirectory())) {
  for (const circle of circles(path.join(roles, entry.name))) {
    wrong.push(`roles/${entry.name}: methods call each other in a circle: ${circle}; let one of them wait in a queue`);
  }
}
const uses = new Map();
const at = (name) => floor.get(name) ?? floor.get(`${name.split('/')[0]}/*`);
for (const file of files(src)) {
  const own = moduleOf(file);
  const shown = path.relative(path.resolve(src, '../..'), file);
  if (at(own) === undefined) wrong.push(`${shown}: ${own} has no floor; give it one in .ci/floors.mjs`);
  for (const name of named(file)) {
    uses.set(own, (uses.get(own) ?? new Set()).add(name));
    if (at(name) === undefined) wrong.push(`${shown} names ${name}, which has no floor; give it one in .ci/floors.mjs`);
    else if (at(name) >= at(own)) wrong.push(`${shown} names ${name}, which is not below ${own}: move what is needed down, or pass it in as a value`);
  }
}
// A machine gets values: no parameter, field or alias of it is a role or another machine.
const machines = fs.readdirSync(path.join(src, 'machine')).filter((name) => name.endsWith('.rs') && name !== 'mod.rs').map((name) => name.replace(/\.rs$/, ''));
const types = ['Client', 'Node', 'AnyRole', ...machines.map((name) => name[0].toUpperCase() + name.slice(1))];
for (const name of machines) {
  const own = name[0].toUpperCase() + name.slice(1);
  const text = fs.readFileSync(path.join(src, 'machine', `${name}.rs`), 'utf8').replace(/\/\/.*$/gm, '');
  for (const type of types) {
    if (type !== own && new RegExp(`(?<!:)[:<&(]\\s*(?:mut\\s+)?${type}\\b(?!::)`).test(text)) {
      wrong.push(`engine/src/machine/${name}.rs takes or holds ${type}: a machine knows neither a role nor another machine`);
    }
  }
}

if (process.argv.includes('--list')) {
  FLOORS.forEach((names, level) => {
    const of = [...uses.keys()].filter((name) => at(name) === level).sort();
    of.forEach((name) => console.log(`${String(level).padStart(2)} ${name.padEnd(20)} ${[...uses.get(name)].sort().join(' ')}`));
  });
}
wrong.forEach((line) => console.error(line));
if (wrong.length === 0) console.log(`floors: ${uses.size} modules, arrows run down only; ${machines.length} machines, none knows another`);
process.exit(wrong.length === 0 ? 0 : 1);
