#!/usr/bin/env bash
# Everything that proves the contracts: Foundry tests, the gas snapshot, the committed artifacts. Installs the tool chain from
# npm first if it is missing or stale. FOUNDRY_PROFILE=deep runs far more fuzz and invariant cases.
set -euo pipefail
cd "$(dirname "$0")/.."

../.ci/timed "contracts: installing tools, comparing artifacts" node tools/artifacts.mjs check # first, as it also installs
forge=node_modules/.bin/forge
[ -x "$forge" ] || forge=$(command -v forge) || { echo "test.sh: npm has forge for linux x64 only; put forge 1.7.1 on the PATH." >&2; exit 1; }
../.ci/timed "contracts: forge test" "$forge" test --no-match-contract GasTest "$@"
../.ci/timed "contracts: gas snapshot" "$forge" snapshot --check .gas-snapshot --match-contract GasTest
