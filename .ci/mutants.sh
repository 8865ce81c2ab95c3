#!/usr/bin/env bash
# Breaks one rule at a time and demands that an oracle of the simulator notices, or a test where no simulator can.
#
#   .ci/mutants.sh --all | --sample N | --list | NAME...
#
# MUTANTS_TARGET_DIR keeps what was built for the next time.
#
# Each .ci/mutants/NAME.patch says in its head what it breaks and which oracles may notice first (`oracle: O3 O12`). In a
# scratch clone of HEAD it is applied, what it touches is rebuilt (contracts too), and plain `cargo sim` has to end with
# exit 1, one of those oracles, and a repro line that ends the same way in the mutant and green in the clean tree. A
# compile error, a stale artifact or a mutant that nobody notices is a failure. The sample rotates with the date.
#
# What the simulator has no part in (the driver, the store, the edge) is broken by patches whose head names a command
# instead: `test: cargo test -p PACKAGE --test FILE NAME`. That command has to compile, to fail by a test that it names
# on its own line, and to pass at least one test in the clean tree. It is its own repro line.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD

names=()
all=$(cd .ci/mutants && ls -- *.patch | sed 's/\.patch$//')
case "${1:-}" in
  --all) mapfile -t names <<<"$all" ;;
  --list)
    for name in $all; do printf '%-32s %s\n' "$name" "$(sed -n 's/^breaks: //p' ".ci/mutants/$name.patch")"; done
    exit 0
    ;;
  --sample)
    count=${2:?".ci/mutants.sh: --sample needs a number"}
    total=$(wc -w <<<"$all")
    first=$(($(date +%s) / 86400 * count % total))
    for ((i = 0; i < count && i < total; i++)); do
      names+=("$(sed -n "$(((first + i) % total + 1))p" <<<"$all")")
    done
    ;;
  '' | -*)
    echo "usage: .ci/mutants.sh --all | --sample N | --list | NAME..." >&2
    exit 2
    ;;
  *) names=("$@") ;;
esac
for name in "${names[@]}"; do
  [ -f ".ci/mutants/$name.patch" ] || { echo ".ci/mutants.sh: there is no mutant $name; --list shows them" >&2; exit 2; }
done
head_of() { sed -n '/^diff /q; s/^'"$1"': //p' "$top/.ci/mutants/$2.patch"; }

# All of them, whatever was asked for: a patch that no longer applies is found by whoever moved the code.
for name in $all; do
  git apply --check ".ci/mutants/$name.patch" || { echo ".ci/mutants.sh: $name does not apply any more" >&2; exit 1; }
  case "$(head_of oracle "$name")/$(head_of test "$name")" in
    O*/ | w*/ | '/cargo test '*) ;;
    *) echo ".ci/mutants.sh: $name has to name its oracles (oracle: O3 O12) or one command (test: cargo test …)" >&2; exit 1 ;;
  esac
done

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
git clone -q "$top" "$place/tree"
if [ -d contracts/node_modules ]; then cp -r contracts/node_modules "$place/tree/contracts/node_modules"; fi
cd "$place/tree"
# One target folder for all: only what a patch touches is built again, in small pieces, as fast as it goes. What a clean
# tree takes seconds for, a mutant gets minutes.
export CARGO_TARGET_DIR="${MUTANTS_TARGET_DIR:-$place/target}" CARGO_PROFILE_RELEASE_LTO=off
quick=(--config profile.release.incremental=true --config 'profile.release.package.decdn-sim.opt-level=1' --config 'profile.release.package.decdn-sim.codegen-units=64')
build() { cargo build --quiet --release "${quick[@]}" --package decdn-sim 2>"$place/build.log"; }
sim() { timeout 600 "$CARGO_TARGET_DIR/release/decdn-sim" "$@"; }

echo "mutants: ${#names[@]} of $(wc -w <<<"$all")"
by_sim=0
for name in "${names[@]}"; do [ -z "$(head_of oracle "$name")" ] || by_sim=1; done
if [ "$by_sim" = 1 ]; then
  echo "mutants: the clean tree first"
  build || { cat "$place/build.log" >&2; echo "mutants: the clean tree does not build" >&2; exit 1; }
  sim >"$place/clean.log" 2>&1 || { tail -n 30 "$place/clean.log" >&2; echo "mutants: the clean tree is not green" >&2; exit 1; }
  cp "$CARGO_TARGET_DIR/release/decdn-sim" "$place/clean-sim"
fi

fail=0
for name in "${names[@]}"; do
  patch="$top/.ci/mutants/$name.patch"
  wanted=$(head_of oracle "$name")
  command=$(head_of test "$name")
  started=$(date +%s)
  verdict=$(
    git apply "$patch" 2>"$place/apply.log" || { echo "does not apply: $(head -n 1 "$place/apply.log")"; exit; }
    if ! git diff --quiet -- contracts/src; then
      node contracts/tools/artifacts.mjs build >"$place/artifacts.log" 2>&1 || { echo "its Solidity does not compile"; exit; }
    fi
    if [ -n "$command" ]; then
      # shellcheck disable=SC2086
      ${command/cargo test/cargo test --no-run --quiet} 2>"$place/build.log" || { echo "does not compile: $(grep -m 1 '^error' "$place/build.log")"; exit; }
      rc=0
      # shellcheck disable=SC2086
      timeout 600 $command >"$place/mutant.log" 2>&1 || rc=$?
      by=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$place/mutant.log" | tr '\n' ' ')
      [ "$rc" = 101 ] && [ -n "$by" ] || { echo "ended with exit $rc, no test failed by name: $command"; exit; }
      echo "caught by $by($command)"
      exit
    fi
    build || { echo "does not compile: $(grep -m 1 '^error' "$place/build.log")"; exit; }
    rc=0
    sim >"$place/mutant.log" 2>&1 || rc=$?
    [ "$rc" = 1 ] || { echo "cargo sim ended with exit $rc, not 1: nobody noticed"; exit; }
    # The violation that the first repro line belongs to.
    repro=$(grep -m 1 '^repro: cargo sim run ' "$place/mutant.log" | sed 's/^repro: cargo sim //') || true
    [ -n "$repro" ] || { echo "no repro line"; exit; }
    noticed() { grep -oE "^($(tr ' ' '|' <<<"$wanted"))[ :]" "$1" | tr ':' ' ' | sort -u | tr -d '\n'; }
    by=$(noticed "$place/mutant.log")
    [ -n "$by" ] || { echo "noticed by $(grep -oE '^(O[0-9]+|world) ' "$place/mutant.log" | sort -u | tr -d '\n')and not by $wanted"; exit; }
    rc=0
    # shellcheck disable=SC2086
    sim $repro >"$place/repro.log" 2>&1 || rc=$?
    [ "$rc" = 1 ] && [ -n "$(noticed "$place/repro.log")" ] || { echo "its repro line ends with exit $rc: $repro"; exit; }
    echo "$repro" >"$place/repro"
    echo "caught by $by($repro)"
  )
  git checkout -q . && git clean -qfd -e contracts/node_modules
  case "$command/$verdict" in
    /caught*)
      # shellcheck disable=SC2046
      timeout 600 "$place/clean-sim" $(cat "$place/repro") >"$place/clean.log" 2>&1 || verdict="its repro line is no better in the clean tree: $(cat "$place/repro")"
      ;;
    */caught*)
      # shellcheck disable=SC2086
      timeout 1800 $command >"$place/clean.log" 2>&1 && grep -qE '^test result: ok\. [1-9]' "$place/clean.log" ||
        verdict="its test is no better in the clean tree, or does not exist: $command"
      ;;
  esac
  printf '%-32s %4d s  %s\n' "$name" "$(($(date +%s) - started))" "$verdict"
  case "$verdict" in caught*) ;; *) fail=1 ;; esac
done
[ "$fail" = 0 ] || echo "mutants: something got through the net" >&2
exit "$fail"
