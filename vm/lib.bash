# Shared by the scripts of this folder: where things are, and which kernel is
# meant by a name.
# shellcheck shell=bash

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck disable=SC2034 # used by those who source this file
vm_build=$project/build/vm

say() { echo "${0##*/}: $*" >&2; }

die() {
	say "$@"
	exit 125
}

# kernel_find NAME: sets kernel_release, kernel_image (the bzImage) and
# kernel_modules (the folder lib/modules/RELEASE). NAME is a version such as
# 6.12, a full release, "newest", or a folder that has boot/vmlinuz-RELEASE
# and (usr/)lib/modules/RELEASE inside.
kernel_find() {
	local name=$1 base='' pattern=$1
	case $name in
	newest) base=$vm_build/newest pattern='' ;;
	*/*)
		pattern=''
		base=$(cd "$name" && pwd -P) || die "no such folder: $name"
		;;
	esac
	[[ $name != newest || -d $base ]] || "$project/vm/fetch-newest"
	kernel_image=$(kernel_images "$base" "$pattern" | sort -V | tail -n 1)
	[[ $kernel_image ]] || die "no kernel $name found in ${base:-/}boot"
	kernel_release=${kernel_image##*/vmlinuz-}
	kernel_modules=$base/usr/lib/modules/$kernel_release
	[[ -d $kernel_modules ]] || kernel_modules=$base/lib/modules/$kernel_release
	[[ -d $kernel_modules ]] || die "no modules of kernel $kernel_release"
}

# A version matches whole numbers only: 6.1 is not 6.12.
kernel_images() { # BASE VERSION
	local file rest
	for file in "$1"/boot/vmlinuz-*; do
		rest=${file##*/vmlinuz-}
		rest=${rest#"$2"}
		[[ $file == */vmlinuz-"$2"* && ! ($2 && $rest == [0-9]*) ]] || continue
		[[ ! -f $file ]] || echo "$file"
	done
}
