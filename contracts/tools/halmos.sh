#!/usr/bin/env bash
# Proofs about the channel by symbolic execution of the bytecode that ships: test/proof, with halmos. Fails on a counterexample, on a
# question that the solver does not answer in time, and if a proof is missing. Arguments go to halmos: --match-test NAME, -v.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/venv.sh

proofs=$(grep -c '^    function check_' test/proof/ChannelProof.sol)
export FOUNDRY_TEST=test/proof FOUNDRY_OUT=cache/halmos/out FOUNDRY_CACHE_PATH=cache/halmos/cache
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Signatures of 0 and of 1 byte stand for all: the contract looks at whether there is one (C1), and the parties are wallets that
# may take or refuse what does not recover (C10). A signature that does recover is valid, as one that a wallet takes.
halmos --forge-build-out cache/halmos/out --contract ChannelProof --default-bytes-lengths 0,1 \
  --solver-timeout-assertion 300s --no-status "$@" >"$log" 2>&1 ||
  { sed -n '/^Running/,$p' "$log" | grep . || cat "$log"; echo "halmos: a proof failed." >&2; exit 1; } >&2
sed -n '/^Running/,$p' "$log"
[ $# -gt 0 ] || grep -q "$proofs passed; 0 failed" "$log" || { echo "halmos: not all of the $proofs proofs ran." >&2; exit 1; }
