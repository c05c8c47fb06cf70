#!/bin/bash
# The front door: runs the monitor as a daemon, and builds, shows and tests this tree. See usage below.
set -uo pipefail

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
me=$0

build_packages=(gcc libc6-dev cmake ninja-build pkg-config liblua5.4-dev lua-cjson-dev libmicrohttpd-dev libuv1-dev
    libcurl4-openssl-dev)
test_packages=(libcmocka-dev python3 python3-pytest shellcheck clang clang-format clang-tidy libclang-rt-dev curl
    openssl procps nodejs groff-base zsh dpkg-dev file)

start_limit=30 # seconds until the admin port must answer; with thousands of services it takes its time
stop_limit=10  # seconds from SIGTERM to SIGKILL

usage() {
    cat <<END
usage: $me start|stop|restart|status|check|shutdown [ENV]     ENV is a name in conf/conf.json (default: prod)
       $me demo | test | help

  start    run the monitor in the background and wait until it answers
  stop     end the monitor; the services keep running
  restart  stop, then start
  status   which services are up (exit code 1: not all of them)
  check    start the monitor if it is down, else say nothing (for cron)
  shutdown stop all services, then the monitor
  demo     install what is needed, build, and supervise the services in examples/ (env dev)
  test     install what the tests need too, build, and run them all

The log of the monitor is fota_monitor.log beside conf/. FOTA_MONITOR_HOME names another folder with conf/ in it,
FOTA_MONITOR_RUNDIR the run folder where conf.json sets "rundir".
END
}

say() { printf '%s\n' "$*"; }
complain() { printf '%s\n' "$*" >&2; }
# die CODE MESSAGE
die() {
    complain "$2"
    exit "$1"
}

# ---- Where things are

find_binary() {
    local candidate
    for candidate in "$here/fota_monitor" "$here/build/fota_monitor" "$(type -P fota_monitor)"; do
        if [[ -f $candidate && -x $candidate ]]; then
            bin=$candidate
            return
        fi
    done
    die 2 "there is no fota_monitor in $here, in $here/build or in PATH: build it with '$me demo' or '$me test'"
}

find_home() {
    local candidate
    for candidate in "${FOTA_MONITOR_HOME:-}" "$here" /etc/fota_monitor; do
        if [[ -n $candidate && -d $candidate/conf ]]; then
            home=$(readlink -f -- "$candidate")
            log=$home/fota_monitor.log
            return
        fi
    done
    die 2 "no folder with conf/ in it: not \$FOTA_MONITOR_HOME, not $here, not /etc/fota_monitor"
}

# Sets lock for one env: the monitor's own. It holds flock(2) on it while it lives; the first line is its pid, the second
# HOST:PORT of its admin address, with https:// before it when that speaks TLS.
find_lock() {
    local rundir
    if [[ -z ${FOTA_MONITOR_RUNDIR:-} ]] && grep -qs '^[^/]*"rundir"' "$home/conf/conf.json"; then
        die 2 "conf.json sets rundir: say which folder that is for env $env, FOTA_MONITOR_RUNDIR=DIR $me ..."
    fi
    rundir=${FOTA_MONITOR_RUNDIR:-$home/run}
    lock=$rundir/$env.lock
    if [[ -d $rundir && ! -x $rundir ]]; then
        die 1 "$rundir belongs to $(stat -c %U -- "$rundir"): run this as that user"
    fi
}

# Two of these scripts must not start or stop in the same home at the same moment (cron's check, say, and a person).
take_turn() {
    find_lock
    exec 9<"$home" || die 1 "can't open $home"
    flock --timeout $((2 * start_limit)) 9 || die 1 "another start or stop in $home is still under way"
}

# ---- Is it running?

# Only asked while no monitor of ours is coming up: looking takes the lock for an instant.
lock_is_held() {
    [[ -e $lock ]] || return 1
    flock --shared --nonblock --conflict-exit-code 75 "$lock" true
    case $? in
    0) return 1 ;;
    75) return 0 ;;
    *) die 1 "can't tell whether fota_monitor ($env) is running" ;;
    esac
}

read_lock() {
    lock_pid='' lock_address=''
    { read -r lock_pid && read -r lock_address; } 2>/dev/null <"$lock"
    [[ $lock_pid =~ ^[1-9][0-9]*$ && -n $lock_address ]]
}

# The address in the lock says so when the port speaks TLS.
url() {
    case $lock_address in
    https://*) echo "$lock_address/" ;;
    *) echo "http://$lock_address/" ;;
    esac
}

# A file from before a crash may name a pid that is somebody else's by now: believe it only when that process has the
# lock file open.
read_holder() {
    local fd deadline=$((SECONDS + 5))
    while ((SECONDS < deadline)); do
        if read_lock; then
            for fd in "/proc/$lock_pid/fd/"*; do
                [[ $fd -ef $lock ]] && return 0
            done
        fi
        sleep 0.1
    done
    return 1
}

monitor() { "$bin" -home "$home" -env "$env" "$@"; }

answers() {
    timeout 5 "$bin" -home "$home" -env "$env" -status all >/dev/null 2>&1
    local code=$?
    ((code != 4 && code != 124)) # 124: timeout's own
}

# ---- The verbs of every day

# The monitor holds the lock: succeeds once it answers too.
await_answer() {
    local deadline=$((SECONDS + $1))
    until answers; do
        if ((SECONDS >= deadline)); then
            complain "fota_monitor ($env) is running${lock_pid:+ (pid $lock_pid)} but does not answer; its log is $log"
            return 1
        fi
        sleep 0.1
    done
}

start() {
    local pid code size deadline=$((SECONDS + start_limit))
    if lock_is_held; then
        read_lock
        await_answer "$start_limit" || return 1
        say "fota_monitor ($env) is already running"
        return 0
    fi

    if ! : >>"$log"; then
        return 1
    fi
    size=$(stat -c %s -- "$log")
    # malloc's caches for each thread would hold pages that could be given back. The monitor takes this out of the
    # environment again; who has set the variable means what is in it.
    (
        cd -- "$home" || exit
        export GLIBC_TUNABLES="${GLIBC_TUNABLES-glibc.malloc.tcache_count=0}"
        exec setsid nohup "$bin" -home "$home" -env "$env"
    ) </dev/null >>"$log" 2>&1 9<&- &
    pid=$!
    # Its own lock and its own address first: what answers at that port might be another monitor.
    while kill -0 "$pid" 2>/dev/null; do
        if read_lock && [[ $lock_pid == "$pid" ]] && answers; then
            say "fota_monitor ($env) is up: pid $pid, $(url)"
            return 0
        fi
        if ((SECONDS >= deadline)); then
            complain "fota_monitor ($env) does not answer after $start_limit s; it is left running as pid $pid"
            show_log "$size"
            return 1
        fi
        sleep 0.1
    done

    wait "$pid"
    code=$?
    complain "fota_monitor ($env) did not start: it ended with code $code"
    show_log "$size"
    ((code == 2)) && return 2
    return 1
}

# show_log SIZE: the end of what the log got since it had that size
show_log() {
    complain "the end of $log:"
    tail -c "+$(($1 + 1))" -- "$log" | tail -n 20 >&2
}

# await_free SECONDS
await_free() {
    local deadline=$((SECONDS + $1))
    while lock_is_held; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

stop() {
    if ! lock_is_held; then
        say "fota_monitor ($env) is not running"
        return 0
    fi
    if ! read_holder; then
        if [[ -n $lock_pid && -d /proc/$lock_pid && ! -r /proc/$lock_pid/fd ]]; then
            complain "fota_monitor ($env), pid $lock_pid, belongs to $(stat -c %U -- "/proc/$lock_pid"): nothing is stopped"
        else
            complain "somebody holds $lock, but it does not say who: nothing is stopped"
        fi
        return 1
    fi
    if ! kill -TERM "$lock_pid" && lock_is_held; then
        return 1
    fi
    if ! await_free "$stop_limit"; then
        complain "fota_monitor ($env), pid $lock_pid, is still there $stop_limit s after SIGTERM: killing it"
        kill -KILL "$lock_pid"
        if ! await_free "$stop_limit"; then
            complain "fota_monitor ($env), pid $lock_pid, can't be killed"
            return 1
        fi
    fi
    say "fota_monitor ($env) is stopped; its services keep running"
}

# A service that can't be stopped is told (code 1); the monitor ends all the same.
shutdown() {
    local code
    if ! lock_is_held; then
        say "fota_monitor ($env) is not running"
        return 0
    fi
    monitor -shutdown
    code=$?
    ((code <= 1)) || return "$code"
    if ! await_free "$stop_limit"; then
        complain "fota_monitor ($env) is still there"
        return 1
    fi
    ((code)) || say "fota_monitor ($env) is stopped, and its services with it"
    return "$code"
}

check() {
    if lock_is_held; then
        read_lock
        await_answer 5
    else
        start
    fi
}

# ---- demo and test

as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo "$@"
    fi
}

# quietly WHAT COMMAND...: the output is shown only when the command fails
quietly() {
    local what=$1 output code
    shift
    say "$what ..."
    output=$("$@" 2>&1 9<&-)
    code=$?
    if ((code)); then
        complain "$output"
        complain "failed: $*"
    fi
    return "$code"
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}

# A bare machine has no package lists, an old one has lists that no longer hold: both show as a failed install.
install_now() {
    apt_install "$@" && return
    as_root apt-get -o DPkg::Lock::Timeout=120 update && apt_install "$@"
}

# need PACKAGE...: installs those that are not there
need() {
    local missing
    if ! type -P apt-get dpkg-query >/dev/null; then
        die 1 "there is no apt here. Install the like of these with this system's own tool, then build as README.md says: $*"
    fi
    missing=$(comm -23 <(printf '%s\n' "$@" | sort) \
        <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' | sort))
    [[ -n $missing ]] || return 0
    if ((EUID != 0)) && ! type -P sudo >/dev/null; then
        die 1 "to install, as root: apt-get install ${missing//$'\n'/ }"
    fi
    # shellcheck disable=SC2086 # one package name a line
    quietly "installing with apt: ${missing//$'\n'/ }" install_now $missing || exit 1
}

# configure FOLDER OPTION...
configure() {
    local folder=$1 generator=(-G Ninja)
    shift
    # A folder that was set up by hand keeps its generator.
    [[ ! -e $folder/CMakeCache.txt ]] || generator=()
    cmake -S "$here" -B "$folder" "${generator[@]}" "$@"
}

# The services that are not up, one a line, or why that can't be told. The crasher does not count: going down is its work.
demo_down() {
    local answer
    answer=$(monitor -status all 2>&1)
    if (($? > 1)); then
        say "$answer"
    else
        sed '1,/STATUS FAIL SERVICE LIST/d' <<<"$answer" | grep -vx -e '' -e crasher
    fi
}

demo() {
    local testing=OFF deadline down
    need "${build_packages[@]}"
    # Switching the tests off in a folder that has them would throw their programs away.
    ! pkg-config --exists cmocka || testing=ON
    quietly "configuring build/" configure "$here/build" -DCMAKE_BUILD_TYPE=Release -DFM_SANITIZE= \
        -DBUILD_TESTING=$testing || exit 1
    quietly "building" cmake --build "$here/build" --target fota_monitor examples || exit 1

    unset FOTA_MONITOR_HOME
    bin=$here/build/fota_monitor
    find_home
    env=dev
    take_turn
    if lock_is_held && read_holder && ! [[ /proc/$lock_pid/exe -ef $bin ]]; then
        say "a monitor of another build is running: taking over"
        stop || exit 1
    fi
    start || exit
    read_lock
    deadline=$((SECONDS + 20))
    while down=$(demo_down); [[ -n $down ]]; do
        if ((SECONDS >= deadline)); then
            monitor -status all
            die 1 "not up: ${down//$'\n'/, }; see their fota_monitor.log below $here/examples/, and $log"
        fi
        sleep 0.1
    done
    monitor -status all
    [[ ! $PWD -ef $here ]] || bin=build/fota_monitor
    cat <<END
The monitor:         $(url)
A service:           http://127.0.0.1:18080/
Ask and command:     $bin -env dev -status web      (-restart web, -history ticker, -why crasher ...)
Stop the services:   $bin -env dev -stop all
Stop the monitor:    $me stop dev      (services that run then keep running)
END
}

# run_tests FOLDER LOG: two more at a time than there are processors, as most tests wait most of the time.
run_tests() {
    ctest --test-dir "$1" -j $(($(nproc) + 2)) --output-on-failure --no-tests=error 2>&1 9<&- | tee "$2"
}

run_all() {
    local logs run release=0 sanitized=0 order=(release sanitized)
    need "${build_packages[@]}" "${test_packages[@]}"
    quietly "configuring build/ (release)" configure "$here/build" -DCMAKE_BUILD_TYPE=Release -DFM_SANITIZE= \
        -DBUILD_TESTING=ON || exit 1
    quietly "building" cmake --build "$here/build" || exit 1
    # CMake can't go on with another compiler where it began with one.
    grep -qs '^CMAKE_C_COMPILER:.*=.*clang$' "$here/build-san/CMakeCache.txt" ||
        rm -rf -- "$here/build-san/CMakeCache.txt" "$here/build-san/CMakeFiles"
    quietly "configuring build-san/ (address and undefined behaviour sanitizers)" configure "$here/build-san" \
        -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug -DFM_SANITIZE=address,undefined -DFM_FUZZ=ON \
        -DBUILD_TESTING=ON || exit 1
    quietly "building" cmake --build "$here/build-san" || exit 1

    logs=$(mktemp -d) || exit 1
    run_tests "$here/build" "$logs/release" || release=1
    run_tests "$here/build-san" "$logs/sanitized" || sanitized=1
    # What failed stands last, where one looks.
    ((release <= sanitized)) || order=(sanitized release)
    for run in "${order[@]}"; do
        printf '\n=== %s\n' "$run"
        sed -n '/^[0-9]*% tests passed, /,$p' "$logs/$run"
    done
    rm -r -- "$logs"
    return $((release | sanitized))
}

# ---- Which one

case ${1:-} in
start | stop | restart | status | check | shutdown)
    if (($# > 2)) || [[ ${2-prod} == '' || ${2-prod} == */* || ${2-prod} == -* ]]; then
        usage >&2
        exit 2
    fi
    find_binary
    find_home
    env=${2-prod}
    ;;
demo | test)
    if (($# > 1)); then
        usage >&2
        exit 2
    fi
    ;;
esac

case ${1:-} in
start) take_turn && start ;;
stop) take_turn && stop ;;
restart) take_turn && stop && start ;;
check) take_turn && check ;;
shutdown) take_turn && shutdown ;;
status) monitor -status all ;;
demo) demo ;;
test) run_all ;;
-h | -help | --help | help) usage ;;
*)
    usage >&2
    exit 2
    ;;
esac
