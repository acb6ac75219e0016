# shellcheck shell=bash
#
# terminal.bash - answering what is asked on a terminal. Whoever loads it has
# wait_until and has_ended and works in a folder of its own.

# ask COMMAND [PROMPT ANSWER]...: on a terminal; what it shows is in ./screen.
# The n-th time a prompt is named, its n-th appearance is awaited.
ask() {
	local command=$1 status=0 pid
	local -A seen=()
	shift
	rm -f keyboard screen
	mkfifo keyboard
	# what runs in the background has SIGINT and SIGQUIT ignored
	env --default-signal script -qefc "$command" screen <keyboard \
		>/dev/null 7>&- &
	pid=$!
	exec 7>keyboard
	while (($# > 0)); do
		seen[$1]=$((${seen[$1]-0} + 1))
		if ! wait_until 10 shows "$1" "${seen[$1]}"; then
			exec 7>&-
			echo "was not asked: $1" >&2
			return 1
		fi
		printf '%b' "$2" >&7
		shift 2
	done
	wait_until 20 has_ended "$pid" || status=1
	exec 7>&-
	wait "$pid" || status=$?
	return $status
}

# shows TEXT [TIMES]: on the screen
shows() {
	[[ -e screen ]] && (($(grep -aoF -- "$1" screen | wc -l) >= ${2-1}))
}
