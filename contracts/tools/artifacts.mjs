// Builds the committed artifacts in ../artifacts from ../src with the npm solc, or checks that they still match.
//
//   node tools/artifacts.mjs build    compile and write artifacts/
//   node tools/artifacts.mjs check    compile and compare; exit code 1 and one sentence if anything differs
//   node tools/artifacts.mjs install  only what both do first: the tool chain from npm, if it is missing or stale
//
// artifacts/SOURCES.json ties the artifacts to their sources without a compiler:
//   sources     {path: sha256 hex of the file's bytes} for every src/**/*.sol, paths relative to contracts/, with "/"
//   sourceHash  sha256 hex over, for each file in ascending byte order of its path:
//               path, one zero byte, its sha256 as 64 lower-case hex digits, one "\n"
// Whoever embeds the artifacts recomputes sourceHash from src/ and refuses stale ones.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(path.join(root, 'package.json'));

main(process.argv[2]);

function main(command) {
  if (!['build', 'check', 'install'].includes(command)) fail('artifacts: say build, check or install.');
  installIfStale();
  if (command === 'install') return;
  const files = render();
  const folder = path.join(root, 'artifacts');
  if (command === 'build') {
    fs.rmSync(folder, { recursive: true, force: true });
    fs.mkdirSync(folder);
    for (const [name, text] of files) fs.writeFileSync(path.join(folder, name), text);
    console.log(`artifacts: wrote ${files.size} files to contracts/artifacts.`);
    return;
  }
  const present = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  const differing = [...files].filter(([name, text]) => !present.includes(name) || read(`artifacts/${name}`) !== text);
  const wrong = [...differing.map(([name]) => name), ...present.filter((name) => !files.has(name))];
  if (wrong.length) fail(`artifacts: ${wrong.sort().join(', ')} differ from src; run node tools/artifacts.mjs build and commit.`);
  console.log(`artifacts: ${files.size} files match src.`);
}

/** Every artifact file as text, by name. */
function render() {
  const settings = compilerSettings();
  const sources = Object.fromEntries(sourcePaths().map((name) => [name, read(name)]));
  const solc = require('solc');
  const output = compile(solc, settings, sources);
  const files = new Map();
  for (const name of contracts(sources)) {
    const contract = output.contracts[`src/${name}.sol`][name];
    files.set(`${name}.json`, json({
      contractName: name,
      abi: contract.abi,
      bytecode: { object: `0x${contract.evm.bytecode.object}` },
      deployedBytecode: { object: `0x${contract.evm.deployedBytecode.object}` },
    }));
  }
  const hashes = Object.fromEntries(Object.entries(sources).map(([name, text]) => [name, sha256(text)]));
  const combined = Object.entries(hashes).map(([name, hash]) => `${name}\0${hash}\n`).join('');
  const version = solc.version().split('.Emscripten')[0];
  files.set('SOURCES.json', json({ solc: version, settings, sources: hashes, sourceHash: sha256(combined) }));
  return files;
}

function compile(solc, settings, sources) {
  const input = {
    language: 'Solidity',
    sources: Object.fromEntries(Object.entries(sources).map(([name, content]) => [name, { content }])),
    settings: {
      ...settings,
      outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object'] } },
    },
  };
  const imports = (name) => {
    const file = path.join(root, 'node_modules', name);
    return fs.existsSync(file) ? { contents: fs.readFileSync(file, 'utf8') } : { error: 'no such file' };
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: imports }));
  const errors = (output.errors ?? []).filter((entry) => entry.severity === 'error');
  if (errors.length) fail(errors.map((entry) => entry.formattedMessage).join('\n'));
  return output;
}

/** The compiler settings of foundry.toml, so that they are written down once. */
function compilerSettings() {
  const toml = read('foundry.toml').split(/^\[(?!profile\.default\])/m)[0];
  const value = (key) => {
    const found = toml.match(new RegExp(`^${key} = (.+)$`, 'm'));
    return found ? JSON.parse(found[1]) : fail(`artifacts: foundry.toml does not set ${key}.`);
  };
  return {
    optimizer: { enabled: value('optimizer'), runs: value('optimizer_runs') },
    viaIR: value('via_ir'),
    evmVersion: value('evm_version'),
    metadata: { bytecodeHash: value('bytecode_hash'), appendCBOR: value('cbor_metadata') },
  };
}

/** What can be deployed: `src/NAME.sol` holds `contract NAME`, neither abstract nor a library. */
function contracts(sources) {
  return Object.entries(sources).map(([name, text]) => [path.basename(name, '.sol'), text])
    .filter(([name, text]) => new RegExp(`^contract ${name}\\b`, 'm').test(text))
    .map(([name]) => name);
}

function sourcePaths() {
  return fs.readdirSync(path.join(root, 'src'), { recursive: true })
    .map((name) => `src/${name.split(path.sep).join('/')}`)
    .filter((name) => name.endsWith('.sol'))
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** Runs `npm ci` unless node_modules holds exactly what package-lock.json says. */
function installIfStale() {
  const locked = JSON.parse(read('package-lock.json')).packages;
  const installedFile = path.join(root, 'node_modules', '.package-lock.json');
  const installed = fs.existsSync(installedFile) ? JSON.parse(fs.readFileSync(installedFile, 'utf8')).packages : {};
  const fresh = Object.entries(locked).every(([name, { version, optional }]) => {
    if (name === '') return true;
    if (!installed[name]) return optional === true;
    return installed[name].version === version && fs.existsSync(path.join(root, name));
  });
  if (!fresh) execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: root, stdio: ['ignore', 2, 2] });
}

function read(name) {
  return fs.readFileSync(path.join(root, name), 'utf8');
}

function json(value) {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function sha256(text) {
  return createHash('sha256').update(text).digest('hex');
}

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}
