// fake_client.h: an API of objects in a table for tests of what stands on client::Client.
// Its watches are deliberately late (`lag`), as the real cache may be. Of the API's own rules it knows what controllers
// count on: uids, resourceVersion conflicts, generation, status apart from spec, finalizers, preconditions, graceful
// pods, orphan and foreground deletion. It neither defaults nor validates.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/client.h"

namespace kayak::test {

class FakeClient final : public client::Client {
 public:
  explicit FakeClient(Context context) : context_(context) {}

  Task<Result<api::ObjectRef>> get(const api::Kind& kind, std::string namespace_, std::string name,
                                   StopToken stop) override;
  Task<Result<client::ObjectList>> list(const api::Kind& kind, client::ListOptions options, StopToken stop) override;
  Task<Result<std::unique_ptr<client::WatchStream>>> watch(const api::Kind& kind, client::ListOptions options,
                                                           store::Revision revision, StopToken stop) override;
  Task<Result<api::ObjectRef>> create(const api::Kind& kind, std::string namespace_, json::Value object,
                                      client::WriteOptions options, StopToken stop) override;
  Task<Result<api::ObjectRef>> update(const api::Kind& kind, std::string namespace_, std::string name,
                                      json::Value object, client::WriteOptions options, StopToken stop) override;
  Task<Result<api::ObjectRef>> patch(const api::Kind& kind, std::string namespace_, std::string name,
                                     client::PatchType type, json::Value patch, client::WriteOptions options,
                                     StopToken stop) override;
  Task<Result<void>> remove(const api::Kind& kind, std::string namespace_, std::string name,
                            client::DeleteOptions options, StopToken stop) override;
  Task<Result<json::Value>> create_subresource(const api::Kind& kind, std::string namespace_, std::string name,
                                               std::string subresource, json::Value body, StopToken stop) override;

  // For the test itself, at once and without coroutines.
  api::ObjectRef put(const api::Kind& kind, json::Value object);  // creates or replaces, status included
  api::ObjectRef find(const api::Kind& kind, const std::string& namespace_, const std::string& name) const;
  std::vector<api::ObjectRef> all(const api::Kind& kind, const std::string& namespace_ = std::string()) const;
  // Changes the document in place, status included; false when absent.
  bool edit(const api::Kind& kind, const std::string& namespace_, const std::string& name,
            const std::function<void(json::Value&)>& change);
  bool erase(const api::Kind& kind, const std::string& namespace_, const std::string& name);
  void delete_now(const api::Kind& kind, const std::string& namespace_, const std::string& name,
                  const std::string& propagation = std::string());  // as a user's DELETE
  // Ends all watches with Expired; later ones from an older revision get it, too.
  void compact();
  // Ends all watches with Unavailable.
  void drop_watches();
  store::Revision revision() const { return revision_; }

  // Asked before each call ("create", "pods", ns, name): an error is its answer.
  std::function<std::optional<Error>(std::string_view verb, const api::Kind& kind, const std::string& namespace_,
                                     const std::string& name)>
      refuse;
  // Sees each object before it is stored by create(): what defaulting and admission would do.
  std::function<void(const api::Kind& kind, json::Value& object)> on_create;
  Duration lag = std::chrono::milliseconds(2);  // of watches behind writes
  std::vector<std::string> calls;               // "create pods ns/name", writes alone, in order

 private:
  friend class FakeWatch;
  struct Change {
    client::WatchEvent event;
    api::ObjectRef before;
    Instant at;
  };
  struct Shelf {
    std::map<client::ObjectKey, api::ObjectRef> objects;
    std::deque<Change> history;
    std::int64_t dropped = 0;  // changes that are no longer in history
    io::Event changed;
  };
  Shelf& shelf(const api::Kind& kind) { return shelves_[&kind]; }
  std::optional<Error> check(std::string_view verb, const api::Kind& kind, const std::string& namespace_,
                             const std::string& name);
  api::ObjectRef store(const api::Kind& kind, json::Value document);
  void drop(const api::Kind& kind, const client::ObjectKey& key);
  Result<api::ObjectRef> write_over(const api::Kind& kind, const api::ObjectRef& old_object, json::Value document,
                                    const std::string& subresource);
  Result<void> delete_object(const api::Kind& kind, const std::string& namespace_, const std::string& name,
                             const client::DeleteOptions& options);

  Context context_;
  std::map<const api::Kind*, Shelf> shelves_;
  store::Revision revision_ = 1;
  store::Revision compacted_ = 0;
  int generation_of_watches_ = 0;
};

// What client::run_... loops need around them: a loop, a clock, randomness from a seed, a quiet log, metrics.
struct TestBed {
  TestBed() : random(20261123), context{loop, clock, random, Log::discard(), metrics}, client(context) {}
  Loop loop;
  SystemClock clock;
  SeededRandom random;
  Metrics metrics;
  Context context;
  FakeClient client;
  // Waits until `holds`, for at most `seconds`; false when it never did.
  Task<bool> until(std::function<bool()> holds, double seconds = 5);
};

}  // namespace kayak::test
