#!/usr/bin/env bash
# Everything that proves the contracts: Foundry tests, the gas snapshot, the committed artifacts. Installs the tool chain from
# npm first if it is missing or stale. FOUNDRY_PROFILE=deep runs far more fuzz and invariant cases.
set -euo pipefail
cd "$(dirname "$0")/.."

node tools/artifacts.mjs check # first, as it also installs
forge=$(echo node_modules/@foundry-rs/forge-*/bin/forge) # not .bin/forge, which drops the exit code
"$forge" test --no-match-contract GasTest "$@"
"$forge" snapshot --check .gas-snapshot --match-contract GasTest
