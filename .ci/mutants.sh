#!/usr/bin/env bash
# Breaks one rule at a time and demands that somebody notices; .ci/mutants.mjs says how.
#
#   .ci/mutants.sh --check | --list | --sample N | --all | NAME...
exec node "$(dirname "$0")/mutants.mjs" "$@"
