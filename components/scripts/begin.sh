# shellcheck shell=sh disable=SC2034
# The beginning of every script: a folder for credentials that is deleted at the end, messages, timeouts and a clock.
set -eu
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM # without this, a shell that a signal ends leaves the credentials
# The plugin that runs the script blocks for ever at a line of 64 KiB.
cut_lines() { cut -c1-2000; }
say() { echo "$*" | cut_lines >&2; }

# A file, because programs that a script writes and runs need it too.
cat >"$work/within.sh" <<'WITHIN'
# within SECONDS COMMAND...: ends a command at a timeout, with code 124. macOS has no `timeout`, but Perl.
if timeout --foreground 1 true 2>/dev/null; then
    within() { timeout --foreground "$@"; }
else
    # Go programs do not end on SIGALRM, so a parent ends them.
    within() {
        perl -e '$most = shift; $child = fork // exit 127; $child or exec(@ARGV) or exit 127;
            $SIG{ALRM} = sub { kill "KILL", $child; exit 124 }; alarm $most; waitpid $child, 0;
            exit($? & 127 ? 128 + ($? & 127) : $? >> 8)' "$@"
    }
fi
WITHIN
# shellcheck source=/dev/null
. "$work/within.sh"

# tick: adds the duration of the last turn to `waited`, at most a minute: neither a changed clock nor a suspended machine
# ends a wait.
read_clock() { if read -r clock _ 2>/dev/null </proc/uptime; then clock=${clock%%.*}; else clock=$(date +%s); fi; }
tick() {
    before=$clock
    read_clock
    turn=$((clock - before))
    if [ "$turn" -lt 0 ]; then turn=0; elif [ "$turn" -gt 60 ]; then turn=60; fi
    waited=$((waited + turn))
}
