# shellcheck shell=bash
#
# compress.bash - what the tests of compressed volumes share.

# json FILTER: of what stats prints of $dev
json() { bdus stats --json "$dev" | jq -r "$1"; }

sum() { sha256sum <"$1"; }

# is_sound FILE: nothing is wrong with the volume, and all can be read
is_sound() { [[ -z $(bdus compress check --verify-data "$1") ]]; }

# is_clean FILE: it was closed
is_clean() { [[ $(bdus compress info --json "$1") == *'"clean": true'* ]]; }
