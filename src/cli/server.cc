// server.cc: the wiring of one server process, in the order in which things start; they stop in the opposite order.
#include "cli/server.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "agent/agent.h"
#include "api/api.h"
#include "base/files.h"
#include "base/strings.h"
#include "cli/cluster.h"
#include "cli/control_plane.h"
#include "cli/damage.h"
#include "cli/datastore.h"
#include "cli/etcd_endpoints.h"
#include "cli/heartbeat_exchange.h"
#include "cli/host.h"
#include "cli/join.h"
#include "cli/join_server.h"
#include "cli/peers.h"
#include "cli/pki.h"
#include "cli/process.h"
#include "cli/rejoin.h"
#include "cli/renewal.h"
#include "cli/snapshot_save.h"
#include "cli/snapshot_schedule.h"
#include "cli/start_checks.h"
#include "cli/until_signal.h"
#include "client/inprocess.h"
#include "io/http.h"
#include "io/tls.h"
#include "store/store.h"

namespace kayak::cli {

using namespace std::chrono_literals;

namespace {

// The service of the API itself: the first address of the service range.
std::string first_service_address(const std::string& cidr) {
  std::string ip = cidr.substr(0, cidr.find('/'));
  const std::size_t dot = ip.rfind('.');
  std::int64_t last = 0;
  parse_int64(ip.substr(dot + 1), &last);
  return cat(ip.substr(0, dot + 1), last + 1);
}

// Each connection takes a descriptor, and many systems give a process 1,024 unless it asks. What it starts inherits the
// limit, as the containers of other distributions do; no more than theirs, as some programs look at every number below.
void raise_descriptor_limit() {
  constexpr rlim_t kDescriptors = 1048576;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min(limit.rlim_max, kDescriptors);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<void> prepare_folders(const ServerOptions& options) {
  for (const char* folder : {"", "/agent"}) {
    if (auto made = make_directories(options.data_dir + folder, 0711); !made) return made;
  }
  for (const char* folder : {"/server", "/server/db", "/server/cred", "/agent/images"}) {
    if (auto made = make_private_directories(options.data_dir + folder); !made) return made;
  }
  return Result<void>();
}

// A start leaves alone what is as it should be: it wears no flash, and a full disk does not stop it.
Result<void> keep_file(const std::string& path, const std::string& content, unsigned mode) {
  struct stat info {};
  const bool same_mode = ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 07777) == mode;
  if (same_mode) {
    const Result<std::string> old = read_file(path, content.size() + 1);
    if (old && *old == content) return Result<void>();
  }
  return write_file_atomic(path, content, mode);
}

// The kubeconfig where the user wants it, and the recovery one beside the keys.
Result<void> write_kubeconfigs(const ServerOptions& options, const Addresses& addresses, const ServerKeys& keys) {
  const bool v6 = addresses.local.find(':') != std::string::npos;
  const std::string url =
      cat("https://", v6 ? "[" : "", addresses.local, v6 ? "]" : "", ":", options.https_listen_port);
  const std::string folder = options.write_kubeconfig.substr(0, options.write_kubeconfig.rfind('/'));
  if (!folder.empty()) {
    if (auto made = make_directories(folder, 0755); !made) return made;
  }
  const std::string admin = make_kubeconfig(url, keys.server_ca.certificate_pem, "kayak-admin", keys.admin);
  if (auto written = keep_file(options.write_kubeconfig, admin, 0600); !written) return written;
  const std::string recovery = make_kubeconfig(url, keys.server_ca.certificate_pem, "kayak-recovery", keys.recovery);
  return keep_file(options.data_dir + "/server/cred/recovery.kubeconfig", recovery, 0600);
}

// At once: what is in memory is not to be written anywhere any more. No core is wanted of a disk that failed.
[[noreturn]] void end_process(const std::string& why) {
  std::fprintf(stderr, "kayak: %s\n", why.c_str());
  std::_Exit(1);
}

class Server {
 public:
  Server(Context context, const ServerOptions& options)
      : context_(std::move(context)), options_(options), addresses_(choose_addresses(options)) {
    if (options_.node_name.empty()) options_.node_name = host_name();
  }

  Task<Result<void>> run() {
    auto serves = [this](StopToken stop) { return serve(std::move(stop)); };
    co_return co_await run_until_signal(context_, serves);
  }

 private:
  Task<Result<void>> serve(StopToken stop) {
    const Instant start = context_.clock.now();
    raise_descriptor_limit();
    auto prepare = [options = options_] { return prepare_folders(options); };
    Result<void> prepared = co_await context_.loop.offload(std::move(prepare));
    if (!prepared) co_return prepared;
    Result<JoinOutcome> join = co_await join_cluster(context_.named("join"), options_, stop);
    if (!join) co_return join.error();
    join_ = std::move(*join);
    Result<void> keys = co_await load_keys();
    if (!keys) co_return keys;
    Result<void> opened = co_await open_store(stop);
    if (!opened && opened.error().code() == Code::kCorrupt) opened = co_await come_back(opened.error(), stop);
    if (!opened && has_datastore(options_)) co_return opened.error().while_doing("opening the store");
    if (!opened) co_return opened.error();
    // The others are reached until the store is closed: it hands the leadership over before that.
    io::TaskScope peers;
    if (peers_) peers.spawn(peers_->run(peers.token()));
    Result<void> served = co_await serve_api(start, stop);
    co_await store_->close();
    peers.stop();
    Result<void> left = co_await peers.join();
    co_return served ? left : served;
  }

  void make_peers() {
    Peers::Options options;
    options.cluster = cluster_;
    options.peer = keys_.peer;
    options.peer_ca_pem = keys_.peer_ca.certificate_pem;
    options.members_path = options_.data_dir + "/server/db/members.json";
    options.server = options_.server;
    options.join = join_;
    peers_ = std::make_unique<Peers>(context_.named("peers"), std::move(options));
  }

  Task<Result<void>> open_store(StopToken stop) {
    if (has_datastore(options_)) {
      Result<std::unique_ptr<store::Store>> store = co_await open_datastore(
          context_.named("datastore"), options_, [](const Error& error) { end_process(error.message()); }, stop);
      if (!store) co_return store.error();
      store_ = std::move(*store);
      co_return Result<void>();
    }
    make_peers();
    store::EmbeddedOptions store_options;
    store_options.store.path = options_.data_dir + "/server/db/state.db";
    store_options.store.member_id = cluster_.self.id;
    store_options.store.joins = join_.joining;
    store_options.store.on_fatal = [](const Error& error) {
      end_process(cat("the store stops, as nothing written after this could be trusted: ", error.message()));
    };
    store_options.transport = &peers_->transport();
    store_options.members_changed = [this](const std::vector<store::MemberRecord>& members) {
      peers_->members_changed(members);
      members_changed_.set();
    };
    store_options.witness_knows = [this](store::raft::NodeId member) { return peers_->witness_knows(member); };
    Result<std::unique_ptr<store::EmbeddedStore>> store =
        co_await store::open_embedded_store(context_.named("store"), store_options);
    if (!store) co_return store.error();
    peers_->attach(**store);
    embedded_ = store->get();
    heartbeats_ = std::make_unique<HeartbeatExchange>(context_.named("heartbeats"), **store, peers_->transport());
    store_ = std::move(*store);
    // Asked for through the API, which ends before the store.
    context_.metrics.gauge_callback("kayak_store_written_bytes",
                                    "Given to the file system by the store since its start.",
                                    [this] { return static_cast<double>(store_->stats().written_bytes); });
    context_.metrics.gauge_callback("kayak_store_syncs", "How often the store has flushed a file since its start.",
                                    [this] { return static_cast<double>(store_->stats().syncs); });
    co_return Result<void>();
  }

  // A damaged database is of no use where others have what was in it, and must not be repaired: what it acknowledged is
  // not known any more. Errors: `damage` with what to do, when there are no others.
  Task<Result<void>> come_back(Error damage, StopToken stop) {
    const std::string server_dir = options_.data_dir + "/server";
    Result<LocalState> state = look_at(context_.random, server_dir);
    if (has_datastore(options_)) co_return damage;
    if (!state || !has_peers(*state)) {
      const WallTime at = context_.clock.wall();
      auto look = [damage, options = options_, at] { return Result<void>(with_way_out(damage, options, at)); };
      co_return co_await context_.loop.offload(std::move(look));
    }
    context_.log.error("the database is damaged: it is set aside, and this server comes back as another member",
                       {{"member", store::member_id_text(state->self)}, {"error", damage.message()}});
    const WallTime now = context_.clock.wall();
    LocalState* lost = &*state;
    auto work = [lost, server_dir, now] { return become_another(lost, server_dir, now); };
    Result<void> another = co_await context_.loop.offload(std::move(work));
    if (!another) co_return another;
    peers_.reset();
    join_ = rejoin(*state, join_.token);
    Result<void> keys = co_await load_keys();
    if (!keys) co_return keys;
    co_return co_await open_store(stop);
  }

  ServerKeyOptions key_options() const {
    ServerKeyOptions key_options;
    key_options.tls_dir = options_.data_dir + "/server/tls";
    key_options.dns_names = {options_.node_name};
    key_options.ip_addresses = {first_service_address(options_.service_cidr), addresses_.node, addresses_.advertise};
    for (const std::string& san : options_.tls_sans) {
      const bool ip = san.find_first_not_of("0123456789.") == std::string::npos || san.find(':') != std::string::npos;
      (ip ? key_options.ip_addresses : key_options.dns_names).push_back(san);
    }
    if (addresses_.local != "127.0.0.1") key_options.ip_addresses.push_back(addresses_.local);
    return key_options;
  }

  Task<Result<void>> load_keys() {
    Random& random = context_.random;
    const WallTime now = context_.clock.wall();
    auto work = [key_options = key_options(), now, &random] {
      return load_or_make_server_keys(random, now, key_options);
    };
    Result<ServerKeys> keys = co_await context_.loop.offload(std::move(work));
    if (!keys) co_return keys.error();
    keys_ = std::move(*keys);
    Result<ClusterIdentity> cluster = identify(random, options_, keys_, addresses_.advertise, join_.token);
    if (!cluster) co_return cluster.error();
    cluster_ = std::move(*cluster);
    if (cluster_.token_changed) {
      context_.log.warn(
          "the token was changed: snapshots that were encrypted with the older one open with nothing else. It is kept "
          "here, and should be kept elsewhere as well. Other servers go on with the older one until they are started "
          "with the new one",
          {{"file", old_tokens_path(options_.data_dir + "/server")}});
    }
    co_return write_kubeconfigs(options_, addresses_, keys_);
  }

  io::TlsServerOptions api_tls() const {
    io::TlsServerOptions tls;
    tls.certificate_pem = keys_.serving.certificate_pem;
    tls.key_pem = keys_.serving.key_pem;
    tls.client_ca_pem = keys_.client_ca.certificate_pem;
    tls.alpn = {"h2", "http/1.1"};
    return tls;
  }

  // Renewed certificates, at all that shows them. Connections stay as they are.
  Task<Result<void>> show(ServerKeys keys, io::TlsServer* api_listener) {
    keys_ = std::move(keys);
    Result<void> shown = api_listener->replace(api_tls());
    if (shown) shown = etcd_->show(keys_);
    if (shown && peers_) shown = peers_->replace_certificate(keys_.peer, *api_listener);
    if (!shown) co_return shown;
    auto write = [options = options_, addresses = addresses_, keys = keys_] {
      return write_kubeconfigs(options, addresses, keys);
    };
    co_return co_await context_.loop.offload(std::move(write));
  }

  Task<Result<void>> serve_api(Instant start, StopToken stop) {
    api::ApiServerOptions api_options;
    api_options.service_cidr = options_.service_cidr;
    // Without an address that others can reach, the service "kubernetes" has no endpoint.
    if (!is_loopback(addresses_.advertise)) api_options.advertise_address = addresses_.advertise;
    api_options.advertise_port = options_.https_listen_port;
    api_options.endpoints_kept = true;
    api_options.absorb_heartbeats = !has_datastore(options_);
    api_options.heartbeat_link = heartbeats_.get();
    api_ = api::ApiServer::create(context_.named("api"), *store_, api_options);
    if (heartbeats_) heartbeats_->attach(*api_);

    Result<std::unique_ptr<io::TlsServer>> tls = io::TlsServer::create(context_.named("tls"), api_tls());
    if (!tls) co_return tls.error().while_doing("preparing TLS");
    io::Endpoint endpoint;
    endpoint.ip = options_.bind_address;
    endpoint.port = options_.https_listen_port;
    Result<std::unique_ptr<io::Listener>> listener = io::listen_tcp(context_, endpoint);
    if (!listener) co_return listener.error();
    auto members = [this] { return peers_ ? peers_->known() : std::vector<store::MemberRecord>(); };
    JoinServer joins(context_.named("join"), keys_, cluster_.token.secret, std::move(members));
    std::unique_ptr<io::HttpServer> http =
        io::HttpServer::create(context_.named("http"), std::move(*listener), tls->get(), io::HttpLimits(),
                               joins.in_front_of(api_->http_handler()));
    if (peers_) {
      if (auto served = peers_->serve(**tls, *http); !served) co_return served;
    }

    etcd_ = std::make_unique<EtcdEndpoints>(context_, options_, *store_, peers_ ? &peers_->members() : nullptr);
    const Result<void> opened = etcd_->open(cluster_, keys_, addresses_.advertise);
    if (!opened) co_return opened.error().while_doing("opening the etcd endpoint");

    CertificateRenewal::Options renewal_options;
    renewal_options.keys = key_options();
    io::TlsServer* api_listener = tls->get();
    CertificateRenewal renewal(context_.named("certificates"), std::move(renewal_options), keys_,
                               [this, api_listener](ServerKeys keys) { return show(std::move(keys), api_listener); });

    // The API ends last: what stops before it still has to say so.
    io::TaskScope api_scope;
    etcd_->run(api_scope);
    api_scope.spawn(api_->run(api_scope.token()));
    api_scope.spawn(http->run(api_scope.token()));
    api_scope.spawn(renewal.run(api_scope.token()));
    io::TaskScope parts(stop);
    io::StopCallback on_failure(api_scope.token(), [&parts] { parts.stop(); });
    const bool ready = co_await api_->wait_ready(parts.token());
    Result<void> worked;
    if (ready) {
      const std::int64_t ms = (context_.clock.now() - start).count() / 1'000'000;
      context_.log.info("the API is ready", {{"address", cat(addresses_.advertise, ":", options_.https_listen_port)},
                                             {"kubeconfig", options_.write_kubeconfig},
                                             {"ms", ms}});
      worked = co_await run_parts(parts);
    }
    api_scope.stop();
    Result<void> ended = co_await api_scope.join();
    co_return ended ? worked : ended;
  }

  // Scheduler, controllers and the node agent, until `parts` stops.
  Task<Result<void>> run_parts(io::TaskScope& parts) {
    // The agent ends its pods through the API, with what the controllers then do about them: it goes first.
    io::TaskScope control;
    io::StopCallback on_failure(control.token(), [&parts] { parts.stop(); });
    ControlPlane::Options control_options;
    control_options.node_name = options_.node_name;
    control_options.controllers.cluster_cidr = options_.cluster_cidr;
    control_options.api_addresses.list = [this](StopToken stop) { return api_addresses(std::move(stop)); };
    if (peers_) {
      control_options.api_addresses.changed = &members_changed_;
      control_options.api_addresses.any_others = [this] { return peers_->known().size() > 1; };
    }
    ControlPlane control_plane(context_, *api_, *store_, std::move(control_options));

    auto node_client =
        client::make_inprocess_client(context_.named("agent"), *api_, client::node_identity(options_.node_name));
    auto informer_client =
        client::make_inprocess_client(context_.named("informers"), *api_, client::controller_identity("informers"));
    auto informers = client::make_informer_factory(context_.named("informers"), *informer_client);
    std::unique_ptr<agent::Agent> node;
    if (!options_.disable_agent) {
      node = agent::Agent::create(context_.named("agent"), *node_client, *informers, agent_options());
      agent::Agent* agent = node.get();
      api_->set_log_hook([agent](api::ObjectRef pod, api::LogOptions options, StopToken stop) {
        return agent->logs(log_request(pod, options), stop);
      });
      parts.spawn(node->run(parts.token()));
    }
    SnapshotSchedule snapshots(context_.named("snapshots"), *store_, snapshot_options());
    if (!options_.snapshot_schedule_cron.empty()) parts.spawn(snapshots.run(parts.token()));
    if (node) control.spawn(informers->run(control.token()));
    control.spawn(control_plane.run(control.token()));
    if (heartbeats_) parts.spawn(heartbeats_->run(parts.token()));
    if (!peers_) {
      api::ApiAddress self{addresses_.advertise, options_.https_listen_port};
      parts.spawn(keep_master_lease(context_.named("endpoints"), *store_, std::move(self), parts.token()));
    }
    io::Event never;
    co_await never.wait(parts.token());
    Result<void> parted = co_await parts.join();
    api_->set_log_hook(nullptr);
    control.stop();
    Result<void> controlled = co_await control.join();
    if (embedded_ != nullptr) co_await embedded_->hand_over();
    co_return parted ? controlled : parted;
  }

  // Of all API servers that may be told, this one's first.
  Task<Result<std::vector<SeenServer>>> api_addresses(StopToken stop) {
    std::vector<SeenServer> addresses;
    addresses.push_back(SeenServer{api::ApiAddress{addresses_.advertise, options_.https_listen_port}});
    if (!peers_) {
      Result<std::vector<api::ApiAddress>> others = co_await read_master_leases(*store_, stop);
      if (!others) co_return others.error();
      for (api::ApiAddress& other : *others) addresses.push_back(SeenServer{std::move(other)});
      co_return addresses;
    }
    for (const store::Member& member : peers_->members().members()) {
      const bool other = member.id != cluster_.self.id && member.role != store::Member::Role::kWitness;
      const Standing standing = standing_of(member);
      if (!other || standing == Standing::kOut) continue;
      std::optional<api::ApiAddress> at = co_await member_addresses_.find(member.addresses, stop);
      if (at) addresses.push_back(SeenServer{std::move(*at), standing});
    }
    co_return addresses;
  }

  static agent::Agent::LogRequest log_request(const api::ObjectRef& pod, const api::LogOptions& options) {
    agent::Agent::LogRequest request;
    request.namespace_ = pod->namespace_();
    request.name = pod->name();
    request.uid = pod->uid();
    request.container = options.container;
    request.follow = options.follow;
    request.previous = options.previous;
    request.timestamps = options.timestamps;
    request.since_seconds = options.since_seconds;
    request.tail_lines = options.tail_lines;
    request.limit_bytes = options.limit_bytes;
    request.since_time = options.since_time;
    request.stream = options.stream;
    return request;
  }

  SnapshotScheduleOptions snapshot_options() const {
    SnapshotScheduleOptions snapshots;
    snapshots.cron = options_.snapshot_schedule_cron;
    snapshots.data_dir = options_.data_dir;
    snapshots.dir = options_.snapshot_dir.empty() ? snapshot_folder(options_.data_dir) : options_.snapshot_dir;
    snapshots.node = options_.node_name;
    const bool token = options_.snapshot_passphrase_file.empty();
    snapshots.passphrase_file = token ? options_.data_dir + "/server/token" : options_.snapshot_passphrase_file;
    snapshots.retention = options_.snapshot_retention;
    return snapshots;
  }

  agent::AgentOptions agent_options() const {
    agent::AgentOptions agent;
    agent.node_name = options_.node_name;
    agent.node_ips = {addresses_.node};
    agent.data_dir = options_.data_dir + "/agent";
    agent.run_dir = options_.run_dir();
    agent.instance = options_.instance();
    agent.node_labels = options_.node_labels;
    agent.node_taints = options_.node_taints;
    agent.registries = options_.private_registry;
    agent.runtime = options_.runtime;
    agent.cluster_cidr = options_.cluster_cidr;
    agent.control_plane = true;
    agent.stop_pods_on_exit = options_.stop_pods_on_exit;
    return agent;
  }

  Context context_;
  ServerOptions options_;
  Addresses addresses_;
  JoinOutcome join_;
  ServerKeys keys_;
  ClusterIdentity cluster_;
  std::unique_ptr<Peers> peers_;
  std::unique_ptr<store::Store> store_;
  store::EmbeddedStore* embedded_ = nullptr;  // the same; null on an external etcd
  io::Event members_changed_;
  MemberAddresses member_addresses_{context_.named("endpoints"), [this](std::string host, StopToken stop) {
                                      return io::resolve(context_, std::move(host), std::move(stop));
                                    }};
  std::unique_ptr<HeartbeatExchange> heartbeats_;  // null on an external etcd
  std::unique_ptr<api::ApiServer> api_;
  std::unique_ptr<EtcdEndpoints> etcd_;
};

// The heap's settings, before the first thread starts.
void set_up_heap() {
  // One arena: by default glibc gives every thread of the pool one of its own, which keeps what a busy moment took.
  ::mallopt(M_ARENA_MAX, 1);
  // Giving the heap's end back and taking it again costs a shoot-down of every core's TLB each time.
  constexpr int kKeptBytes = 1024 * 1024;
  ::mallopt(M_TRIM_THRESHOLD, kKeptBytes);
}

}  // namespace

int run_server(const ServerOptions& options) {
  const bool has_agent = !options.disable_agent && !options.cluster_reset && !options.witness;
  if (has_agent && ::geteuid() != 0) {
    std::fputs(
        "kayak: running containers needs root: run as root, or with --disable-agent for a server without a node\n",
        stderr);
    return 2;
  }
  ::umask(0022);
  set_up_heap();
  if (options.cluster_reset) return run_cluster_reset(options);
  if (options.witness) return run_witness(options);
  SystemRandom random;
  if (const Result<void> fine = check_named_files(random, options); !fine) {
    std::fprintf(stderr, "kayak: %s\n", fine.error().message().c_str());
    return 1;
  }
  return run_service("server", options, [&options](const Context& context) {
    Server server(context, options);
    return context.loop.run(server.run());
  });
}

}  // namespace kayak::cli
