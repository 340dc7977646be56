# Ends what the parent process leaves behind, once the parent is gone.
#
# The parent holds the only write end of our standard input and sends one command per line:
#   watch STAGE:PID:START:SIGNAL   a process to end; START is its start time, so that a recycled
#                                  process id is never mistaken for it
#   forget PID:START               that process has ended
#   scratch DIRECTORY              to be removed at the end
# End of input means that the parent has ended, in whatever way.

# No word is a file name pattern.
set -f
trap '' HUP INT QUIT TERM
cd /
watched=''
scratch=''
newline='
'

while IFS= read -r line; do
    rest=${line#* }
    case ${line%% *} in
    watch) watched="$watched $rest" ;;
    forget)
        kept=''
        for entry in $watched; do
            case $entry in
            *:"$rest":*) ;;
            *) kept="$kept $entry" ;;
            esac
        done
        watched=$kept
        ;;
    scratch) scratch="$scratch$rest$newline" ;;
    esac
done

# Splits an entry into stage, pid, start and signal.
split() {
    IFS=:
    set -- $1
    IFS=' '
    stage=$1 pid=$2 start=$3 signal=$4
}

# Is the process of the entry just split still there? A zombie is not.
alive() {
    IFS= read -r line <"/proc/$pid/stat" || return 1
    set -- ${line##*) }
    [ "$1" != Z ] && [ "${20}" = "$start" ]
}

# Does "$2" for each living process of stage $1; true when there was one.
each() {
    found=1
    for entry in $watched; do
        split "$entry"
        if [ "$stage" = "$1" ] && alive; then
            found=0
            eval "$2"
        fi
    done
    return $found
}

# Waits until stage $1 is empty, for at most $2 tenths of a second.
await() {
    tenths=$2
    while [ "$tenths" -gt 0 ] && each "$1" :; do
        sleep 0.1
        tenths=$((tenths - 1))
    done
}

IFS=' '
for current in 1 2 3; do
    each $current 'kill -s "$signal" "$pid"' || continue
    await $current 150
    each $current 'kill -s KILL -- "-$pid" "$pid"' && await $current 50
done

IFS=$newline
for directory in $scratch; do
    # A child of an ended server may still be writing: try for a while.
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        rm -rf -- "$directory" && break
        sleep 0.3
    done
done
