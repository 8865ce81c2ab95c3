# Sourced by slither.sh and halmos.sh: the Python tools of requirements.txt in contracts/.venv, installed if missing or stale, and
# they and npm's forge on the PATH. The compiler is npm's, as foundry.toml says.
node tools/artifacts.mjs install
command -v python3 >/dev/null || { echo "contracts/tools: python3 is missing: install Python 3.11 or newer and run this again." >&2; exit 1; }
if ! cmp -s tools/requirements.txt .venv/requirements.txt; then
  rm -rf .venv
  python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check --requirement tools/requirements.txt
  cp tools/requirements.txt .venv/requirements.txt
fi
export PATH="$PWD/node_modules/.bin:$PWD/.venv/bin:$PATH"
command -v forge >/dev/null || { echo "contracts/tools: npm has forge for linux x64 only; put forge 1.7.1 on the PATH." >&2; exit 1; }
