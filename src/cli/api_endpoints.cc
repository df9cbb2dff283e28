// api_endpoints.cc: see api_endpoints.h.
#include "cli/api_endpoints.h"

#include <algorithm>

#include "api/validation/ip.h"
#include "base/strings.h"
#include "cli/cluster.h"
#include "client/inprocess.h"
#include "store/member.h"

namespace kayak::cli {

namespace {

using namespace std::chrono_literals;
constexpr Duration kReturn = 5s, kRetry = 2s;
constexpr std::int64_t kLeaseSeconds = 15;
constexpr Duration kKeepAlive = 5s;
constexpr Duration kNameStands = 5min, kLookUp = 2s;
constexpr std::string_view kMasterLeases = "/registry/masterleases/", kMasterLeasesEnd = "/registry/masterleases0";

// Everything but its own metadata is made as `wanted` says; equal bytes are not written.
Task<Result<void>> write(client::Client& client, const api::Kind& kind, json::Value wanted, StopToken stop) {
  client::WriteOptions options;
  auto present = co_await client.get(kind, "default", "kubernetes", stop);
  if (!present && present.error().code() != Code::kNotFound) co_return present.error();
  Result<api::ObjectRef> written = Error(Code::kInternal, "");
  if (present) {
    json::Value changed = *(*present)->document();
    for (auto& [key, value] : wanted.as_object()) {
      if (key != "metadata") changed[key] = std::move(value);
    }
    if (changed == *(*present)->document()) co_return Result<void>();
    written = co_await client.update(kind, "default", "kubernetes", std::move(changed), options, stop);
  } else {
    written = co_await client.create(kind, "default", std::move(wanted), options, stop);
  }
  if (!written) co_return written.error();
  co_return Result<void>();
}

// Errors: those of the API.
Task<Result<std::optional<std::vector<api::ApiAddress>>>> read_told(client::Client& client, StopToken stop) {
  std::optional<std::vector<api::ApiAddress>> told;
  auto present = co_await client.get(api::kinds::endpoints(), "default", "kubernetes", stop);
  if (!present && present.error().code() != Code::kNotFound) co_return present.error();
  if (present) {
    const json::Document document = (*present)->document();
    told = api::addresses_of(*document);
  }
  co_return told;
}

client::ListOptions own_object() {
  client::ListOptions options;
  options.namespace_ = "default";
  options.fields = api::FieldSelector::equals("metadata.name", "kubernetes");
  return options;
}

void tell_of_changes(client::Informer& informer, io::Event* changed) {
  client::InformerHandler handler;
  handler.on_update = [changed](const api::ObjectRef&, const api::ObjectRef&) { changed->set(); };
  handler.on_delete = [changed](const api::ObjectRef&) { changed->set(); };
  informer.add_handler(std::move(handler));
}

}  // namespace

Standing standing_of(const store::Member& member) {
  if (!member.answers) return Standing::kOut;
  switch (member.pace) {
    case store::Member::Pace::kLevel:
      return Standing::kLevel;
    case store::Member::Pace::kUnclear:
      return Standing::kUnclear;
    case store::Member::Pace::kBehind:
      break;
  }
  return Standing::kOut;
}

ToldServers::ToldServers(const std::optional<std::vector<api::ApiAddress>>& told) : all_(!told) {
  if (told) told_.insert(told->begin(), told->end());
}

std::vector<api::ApiAddress> ToldServers::look(const std::vector<SeenServer>& seen) {
  std::vector<api::ApiAddress> now;
  std::set<api::ApiAddress> returning;
  for (const SeenServer& one : seen) {
    const bool was_in = all_ || told_.count(one.at) > 0;
    const bool level = one.standing == Standing::kLevel;
    const bool stays = was_in && (level || one.standing == Standing::kUnclear);
    if (one.standing == Standing::kIn || stays || (level && returning_.count(one.at) > 0)) {
      now.push_back(one.at);
    } else if (level) {
      returning.insert(one.at);
    }
  }
  all_ = false;
  told_ = std::set<api::ApiAddress>(now.begin(), now.end());
  returning_ = std::move(returning);
  return now;
}

namespace {

Task<Result<void>> keep(const Context& context, client::Client& client, const ApiAddresses& addresses, StopToken stop) {
  std::optional<ToldServers> servers;
  while (!stop.stopped()) {
    Duration pause = addresses.period;
    if (addresses.changed != nullptr) addresses.changed->reset();
    Result<std::vector<SeenServer>> seen = co_await addresses.list(stop);
    if (seen && !servers) {
      auto told = co_await read_told(client, stop);
      if (told) servers.emplace(*told);
    }
    if (!seen || !servers) pause = kRetry;
    const std::vector<api::ApiAddress> now = seen && servers ? servers->look(*seen) : std::vector<api::ApiAddress>();
    if (servers && servers->somebody_returns()) pause = std::min(pause, kReturn);
    // Also when they are the same as before: somebody may have changed or deleted the objects.
    if (!now.empty()) {
      api::KubernetesEndpoints wanted = api::kubernetes_endpoints(now);
      Result<void> done;
      if (wanted.endpoints.is_object()) {
        done = co_await write(client, api::kinds::endpoints(), std::move(wanted.endpoints), stop);
        if (done) done = co_await write(client, api::kinds::endpoint_slices(), std::move(wanted.slice), stop);
      }
      if (!done) pause = kRetry;
      if (!done && !stop.stopped()) {
        context.log.debug("the API's endpoints are not written yet", {{"error", done.error().message()}});
      }
    }
    const bool alone = addresses.changed != nullptr && !addresses.any_others() && pause == addresses.period;
    if (alone) {
      co_await addresses.changed->wait(stop);
      continue;
    }
    const Result<void> slept = co_await context.loop.sleep(pause, stop);
    if (!slept) break;
  }
  co_return Result<void>();
}

}  // namespace

Task<Result<void>> keep_api_endpoints(Context context, api::ApiServer& api, std::uint64_t term, ApiAddresses addresses,
                                      StopToken stop) {
  if (!addresses.list) co_return Result<void>();
  client::Identity identity;
  identity.user.name = "system:apiserver";
  identity.user.groups = {"system:masters", "system:authenticated"};
  identity.field_manager = "kube-apiserver";
  auto client = client::make_inprocess_client(context, api, identity, term);
  auto informers = client::make_informer_factory(context, *client);
  io::TaskScope scope(stop);
  if (addresses.changed != nullptr) {
    client::Informer& endpoints = informers->informer(api::kinds::endpoints(), own_object());
    client::Informer& slices = informers->informer(api::kinds::endpoint_slices(), own_object());
    tell_of_changes(endpoints, addresses.changed);
    tell_of_changes(slices, addresses.changed);
    scope.spawn(informers->run(scope.token()));
    // Who deletes what is written below is seen then.
    const Result<void> sees_endpoints = co_await endpoints.wait_for_sync(scope.token());
    const Result<void> sees_slices = co_await slices.wait_for_sync(scope.token());
    if (!sees_endpoints || !sees_slices) co_return co_await scope.join();
  }
  scope.spawn(keep(context, *client, addresses, scope.token()));
  co_return co_await scope.join();
}

Task<std::optional<api::ApiAddress>> MemberAddresses::find(std::vector<std::string> addresses, StopToken stop) {
  std::vector<store::HostPort> names;
  for (const std::string& text : addresses) {
    Result<store::HostPort> at = store::parse_host_port(text);
    if (!at) continue;
    api::validation::IpAddress ignored;
    if (api::validation::parse_ip(at->host, &ignored)) co_return api::ApiAddress{at->host, at->port};
    names.push_back(std::move(*at));
  }
  for (const store::HostPort& at : names) {
    std::string ip = co_await look_up(at.host, stop);
    if (!ip.empty()) co_return api::ApiAddress{std::move(ip), at.port};
  }
  co_return std::nullopt;
}

Task<std::string> MemberAddresses::look_up(std::string host, StopToken stop) {
  const Instant now = context_.clock.now();
  Found& found = found_.try_emplace(host, Found{"", now}).first->second;
  if (!found.ip.empty() && now - found.at < kNameStands) co_return found.ip;
  const io::Deadline deadline(context_.loop, kLookUp, stop);
  Result<std::vector<std::string>> ips = co_await resolve_(host, deadline.token());
  if (stop.stopped()) co_return found.ip;
  // A name may have several, in a new order each time: the one that is told should stay the same. Of IPv4, as long as
  // pods and services are.
  if (ips) std::erase_if(*ips, [](const std::string& ip) { return is_loopback(ip); });
  const auto first = [](const std::string& a, const std::string& b) {
    const bool a6 = a.find(':') != std::string::npos, b6 = b.find(':') != std::string::npos;
    return std::pair(a6, a) < std::pair(b6, b);
  };
  if (ips && !ips->empty()) {
    found = Found{*std::min_element(ips->begin(), ips->end(), first), now};
    told_.erase(host);
  } else if (told_.insert(host).second) {
    const std::string why = ips ? "it has loopback addresses alone" : ips.error().message();
    context_.log.warn("a server's name cannot be told as an endpoint of the service kubernetes",
                      {{"name", host}, {"error", why}, {"instead", found.ip.empty() ? "it is left out" : found.ip}});
  }
  co_return found.ip;
}

Task<Result<void>> keep_master_lease(Context context, store::Store& store, api::ApiAddress self, StopToken stop) {
  std::int64_t lease = 0;
  while (!stop.stopped()) {
    Duration pause = kKeepAlive;
    bool held = false;
    if (lease != 0) {
      const Result<store::Lease> kept = co_await store.lease_keep_alive(lease, stop);
      held = !kept || kept->remaining > 0;  // an error says nothing about the lease
    }
    if (!held) {
      const Result<store::Lease> granted = co_await store.lease_grant(0, kLeaseSeconds, stop);
      store::TxnRequest request;
      store::Op& put = request.success.emplace_back();
      put.key = cat(kMasterLeases, self.ip, ":", self.port);
      put.value = std::make_shared<const std::string>();
      if (granted) put.lease = granted->id;
      Result<store::TxnResponse> done = Error(Code::kUnavailable, "");
      if (granted) done = co_await store.txn(std::move(request), stop);
      lease = done ? granted->id : 0;
      if (!done) pause = kRetry;
    }
    const Result<void> slept = co_await context.loop.sleep(pause, stop);
    if (!slept) break;
  }
  if (lease != 0) {
    const io::Deadline deadline(context.loop, kRetry);
    (void)co_await store.lease_revoke(lease, deadline.token());
  }
  co_return Result<void>();
}

Task<Result<std::vector<api::ApiAddress>>> read_master_leases(store::Store& store, StopToken stop) {
  store::RangeRequest request;
  request.key = kMasterLeases;
  request.range_end = kMasterLeasesEnd;
  request.keys_only = true;
  Result<store::RangeResponse> range = co_await store.range(std::move(request), stop);
  if (!range) co_return range.error();
  std::vector<api::ApiAddress> addresses;
  for (const store::KeyValue& kv : range->kvs) {
    const std::string_view text = std::string_view(kv.key).substr(kMasterLeases.size());
    const std::size_t colon = text.rfind(':');
    std::int64_t port = 0;
    const bool whole = colon != std::string_view::npos && parse_int64(text.substr(colon + 1), &port) && port > 0;
    if (whole) addresses.push_back(api::ApiAddress{std::string(text.substr(0, colon)), static_cast<int>(port)});
  }
  co_return addresses;
}

}  // namespace kayak::cli
