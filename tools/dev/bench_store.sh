# bench_store.sh: the store's part of bench.sh, which sources it: our store beside etcd, in turns, through the same client.

# start_etcd NAME PORT PEER_PORT INITIAL_CLUSTER: a member that also listens on the socket $work/NAME/etcd:0.
start_etcd() {
  mkdir -p "$work/$1"
  # Its unix sockets are named by what looks like host and port, and lie where it runs.
  (cd "$work/$1" && exec etcd --name "$1" --data-dir "$work/$1/data" --log-level error --logger zap \
    --listen-client-urls "http://127.0.0.1:$2,unix://etcd:0" --advertise-client-urls "http://127.0.0.1:$2" \
    --listen-peer-urls "http://127.0.0.1:$3" --initial-advertise-peer-urls "http://127.0.0.1:$3" \
    --initial-cluster "$4") >"$work/$1.log" 2>&1 &
  others+=($!)
}
wait_etcd() {
  for _ in $(seq 200); do
    if [[ "$(curl -fsS "http://127.0.0.1:$1/health" 2>/dev/null)" == *true* ]]; then return; fi
    sleep 0.05
  done
  fail "etcd did not start; its logs are below $work"
}

# in_turns ROUNDS FUNCTION: the function's figures as medians of so many rounds, so that a busy moment of the machine or
# its disk falls on all that the function measures.
in_turns() {
  local round
  for round in $(seq "$1"); do "$2" "$round"; done >"$work/rounds"
  medians "$work/rounds" | record
}
# beside VERB ARGS: on our endpoint, then on etcd's, where it is installed. Figures begin with kayak$series, etcd$series.
beside() {
  "$bench" "$1" --as "kayak$series" --target "$ours" ${ours_pid:+--pid "$ours_pid"} "${@:2}"
  if [ -n "$peer" ]; then "$bench" "$1" --as "etcd$series" --target "$theirs" ${theirs_pid:+--pid "$theirs_pid"} "${@:2}"; fi
}
# ratio NAME NUMERATOR DENOMINATOR TEXT: of two figures, where there are both
ratio() {
  awk -F '\t' -v name="$1" -v over="$2" -v under="$3" -v text="$4" '{v[$1] = $2}
    END {if (v[over] != "" && v[under] > 0) printf "figure\t%s\t%.2f\t%s\n", name, v[over] / v[under], text}' "$figures" | record
}

series="" gateway="" ours="" theirs="" ours_pid="" theirs_pid=""
# Level by level, as what a flush takes on a disk that others use, too, changes by the second.
write_round() {
  local bytes clients turn="$1"
  for bytes in 256 1024; do
    for clients in 1 16 1000; do
      turn=$((turn + 1000))
      "$bench" disk --dir "$work" --ms $((ms / 4))
      "$bench" store --dir "$work/store" --ms "$ms" --clients "$clients" --bytes "$bytes"
      beside writes --ms "$ms" --round "$turn" --clients "$clients" --bytes "$bytes"
      if [ -n "$peer" ]; then
        "$bench" gateway --as etcd_json --target "$gateway" --ms "$ms" --round "$((turn + 500))" --clients "$clients" --bytes "$bytes"
      fi
    done
  done
}
read_round() { beside reads --ms $((ms * 2)); }
watch_round() { beside watches --ms $((ms * 2)); }
three_round() {
  local clients series=_three turn="$1"
  for clients in 1 16 200; do
    turn=$((turn + 1000))
    beside writes --ms "$ms" --round "$turn" --clients "$clients" --bytes 1024
  done
}

bench_one_server() {
  say "store: durable puts, on its interface and over gRPC, beside ${peer:-nothing: etcd is not installed}"
  start_server --disable-agent
  wait_ready 30
  ours="unix://$work/data/server/etcd.sock" ours_pid="$server_pid"
  if [ -n "$peer" ]; then
    local client_port peer_port
    client_port="$(free_port)" peer_port="$(free_port)"
    start_etcd one "$client_port" "$peer_port" "one=http://127.0.0.1:$peer_port"
    wait_etcd "$client_port"
    theirs="unix://$work/one/etcd:0" theirs_pid="${others[0]}" gateway="http://127.0.0.1:$client_port"
  fi
  in_turns "$rounds" write_round
  ratio store_p99_over_fdatasync store_put_p99_us_1_1024b fdatasync_p50_us "p99 of 1 client, 1 KB, on the interface / median flush"
  local level
  for level in 1_256b 16_256b 1000_256b 1_1024b 16_1024b 1000_1024b; do
    ratio "kayak_over_etcd_puts_$level" "kayak_puts_per_s_$level" "etcd_puts_per_s_$level" "puts a second over gRPC, ours / etcd's"
    ratio "store_over_etcd_puts_$level" "store_puts_per_s_$level" "etcd_puts_per_s_$level" "on our interface, as our API server does, / etcd over gRPC"
    ratio "store_over_etcd_json_puts_$level" "store_puts_per_s_$level" "etcd_json_puts_per_s_$level" "on our interface / etcd through its JSON gateway"
  done
  say "store: reads, and watches of one prefix, over gRPC"
  ours_pid="" theirs_pid=""
  in_turns "$(pick 3 1)" read_round
  in_turns "$(pick 3 1)" watch_round
  measure memory --pid "$server_pid" --label store_after_load
  [ -z "$peer" ] || measure memory --pid "${others[0]}" --label etcd_after_load
  if [ -n "$peer" ]; then
    measure steady --as etcd --target "$theirs" --ms "$(pick 120000 4000)" --compact-ms "$(pick 30000 1000)"
  fi
  stop_server
  end_others
  rm -rf "$work/data" "$work/one"
}

# Three servers on loopback: the load goes to the one that leads.
bench_three_servers() {
  say "store: three servers on loopback, durable puts of 1 KB over gRPC to the one that leads"
  local i first initial="" ports=() peers=()
  ours="" theirs="" ours_pid="" theirs_pid=""
  for i in 0 1 2; do ports+=("$(free_port)"); done
  for i in 0 1 2; do
    local joining=()
    [ "$i" = 0 ] || joining=(--server "https://127.0.0.1:${ports[0]}" --token-file "$work/s0/server/token")
    "$kayak" server --data-dir "$work/s$i" --bind-address 127.0.0.1 --https-listen-port "${ports[$i]}" --node-name "s$i" \
      --write-kubeconfig "$work/s$i.yaml" --disable-agent --peer-address "127.0.0.1:${ports[$i]}" "${joining[@]}" \
      >"$work/s$i.log" 2>&1 &
    others+=($!)
    for _ in $(seq 600); do
      curl -fsSk "https://127.0.0.1:${ports[$i]}/readyz" >/dev/null 2>&1 && break
      sleep 0.05
    done
    ours="$ours${ours:+,}unix://$work/s$i/server/etcd.sock"
  done
  for _ in $(seq 600); do
    [ "$("$kayak" member list --data-dir "$work/s0" -o json 2>/dev/null | grep -o '"voter"' | wc -l)" = 3 ] && break
    sleep 0.05
  done
  if [ -n "$peer" ]; then
    first="${#others[@]}"
    for i in 0 1 2; do
      ports[i]="$(free_port)" peers+=("$(free_port)")
      initial="$initial${initial:+,}m$i=http://127.0.0.1:${peers[i]}"
    done
    for i in 0 1 2; do
      start_etcd "m$i" "${ports[i]}" "${peers[i]}" "$initial"
      theirs="$theirs${theirs:+,}unix://$work/m$i/etcd:0"
    done
    for i in 0 1 2; do wait_etcd "${ports[i]}"; done
  fi
  in_turns "$rounds" three_round
  local level
  for level in 1_1024b 16_1024b 200_1024b; do
    ratio "kayak_over_etcd_three_puts_$level" "kayak_three_puts_per_s_$level" "etcd_three_puts_per_s_$level" \
      "puts a second at three servers, ours / etcd's"
  done
  end_others
  rm -rf "$work"/s[012] "$work"/m[012]
}

# A node with ten pods that nobody talks to. Heartbeats are folded into one commit every five minutes, so less than that says
# little.
bench_idle_hour() {
  if [ "$(id -u)" != 0 ]; then
    say "store: the idle hour is left out, as containers, namespaces and bridges need root"
    return
  fi
  local seconds before
  seconds="$(pick 600 5)"
  say "store: an idle server with a node and 10 pods, from $seconds s$(pick "" ", too few to see the fold of every 5 minutes")"
  start_registry
  start_server --stop-pods-on-exit
  wait_ready 30
  make_image bench:1
  apply_once ten 10 >/dev/null
  sleep "$(pick 30 2)" # what the start left to do is over
  before="$(store_syncs)"
  "$bench" activity --pid "$server_pid" --seconds "$seconds" | awk -F '\t' '$2 == "disk_bytes_idle_minute" {
    printf "figure\tdisk_bytes_idle_hour_10_pods\t%.0f\tbytes sent to the disk in an hour, told from '"$seconds"' s\n", $3 * 60}' | record
  figure syncs_idle_hour_10_pods "$((($(store_syncs) - before) * 3600 / seconds))" "syncs in an hour, told from $seconds s"
  remove ten
  stop_server
  rm -rf "$work/data"
}
store_syncs() { kubectl get --raw /metrics | awk '$1 == "kayak_store_syncs" {print $2}'; }

bench_store() {
  local ms rounds peer=""
  ms="$(pick 2000 120)" rounds=3
  if command -v etcd >/dev/null; then peer="$(etcd --version | sed -n 1p)"; fi # not head: a closed pipe would end the run
  bench_one_server
  bench_three_servers
  say "store: bytes and syncs for each object, on its interface"
  measure amplification --dir "$work/store" --puts "$(pick 200000 30000)"
  say "store: the longest stall, 500 puts a second on its interface"
  measure stall --dir "$work/store" --ms "$(pick 600000 8000)" --compact-ms "$(pick 150000 2000)"
  bench_idle_hour
  port=""
}
