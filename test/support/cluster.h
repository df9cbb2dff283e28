// cluster.h: controllers over the late fake API, with a stand-in for nodes that makes pods run.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/fields.h"
#include "controllers/controllers.h"
#include "support/documents.h"
#include "support/fake_client.h"

namespace kayak::test {

struct Cluster {
  TestBed bed;
  std::unique_ptr<client::InformerFactory> factory = client::make_informer_factory(bed.context, bed.client);
  controllers::Options options;
  std::vector<std::unique_ptr<controllers::Controller>> running;
  // Whether the stand-in kubelet makes this pod ready; by default all.
  std::function<bool(const json::Value& pod)> becomes_ready = [](const json::Value&) { return true; };

  void start(std::unique_ptr<controllers::Controller> (*make)(const controllers::ControllerDeps&)) {
    running.push_back(make(controllers::ControllerDeps{bed.context, bed.client, *factory, options}));
  }

  FakeClient& api() { return bed.client; }
  json::Value doc_of(const api::Kind& kind, const std::string& name, const std::string& space = "default") {
    const api::ObjectRef object = bed.client.find(kind, space, name);
    return object ? *object->document() : json::Value();
  }
  std::vector<api::ObjectRef> pods() { return bed.client.all(api::kinds::pods()); }
  // Messages of all events of this reason, in order.
  std::vector<std::string> events(const std::string& reason) {
    std::vector<std::string> messages;
    for (const api::ObjectRef& object : bed.client.all(api::kinds::events())) {
      const json::Document document = object->document();
      if (client::text_at(*document, {"reason"}) == reason) {
        messages.emplace_back(client::text_at(*document, {"message"}));
      }
    }
    return messages;
  }

  // Runs pods: assigns a node, makes them Running and ready, and takes deleted ones away.
  Task<Result<void>> kubelet(StopToken stop) {
    const Duration tick = std::chrono::milliseconds(2);
    while (!stop.stopped()) {
      for (const api::ObjectRef& pod : pods()) {
        const json::Document document = pod->document();
        if (pod->header().deleting) {
          if (pod->header().finalizers.empty()) bed.client.erase(api::kinds::pods(), pod->namespace_(), pod->name());
          continue;
        }
        const std::string_view phase = client::text_at(*document, {"status", "phase"});
        const bool ready = becomes_ready(*document);
        const bool is_ready = !client::array_at(*document, {"status", "conditions"}).empty();
        if (phase == "Succeeded" || phase == "Failed" || (phase == "Running" && (is_ready || !ready))) continue;
        bed.client.edit(api::kinds::pods(), pod->namespace_(), pod->name(), [&](json::Value& d) {
          if (client::text_at(d, {"spec", "nodeName"}).empty()) d["spec"]["nodeName"] = "node-1";
          d["status"]["phase"] = "Running";
          if (!ready) return;
          json::Value condition;
          condition["type"] = "Ready";
          condition["status"] = "True";
          condition["lastTransitionTime"] = format_time(bed.clock.wall());
          json::Array conditions;
          conditions.push_back(std::move(condition));
          d["status"]["conditions"] = std::move(conditions);
        });
      }
      const Result<void> slept = co_await bed.loop.sleep(tick, stop);
      if (!slept) break;
    }
    co_return Result<void>();
  }

  Task<Result<void>> around(std::function<Task<void>(Cluster&)> body, bool with_kubelet) {
    io::TaskScope scope;
    scope.spawn(factory->run(scope.token()));
    for (const auto& controller : running) scope.spawn(controller->run(scope.token()));
    if (with_kubelet) scope.spawn(kubelet(scope.token()));
    co_await body(*this);
    scope.stop();
    co_return co_await scope.join();
  }
  Result<void> go(std::function<Task<void>(Cluster&)> body, bool with_kubelet = true) {
    return bed.loop.run(around(std::move(body), with_kubelet));
  }
  // The API falls silent: no write for `quiet`. False when it never does.
  Task<bool> settled(Duration quiet = std::chrono::milliseconds(40), int most = 200) {
    for (int i = 0; i < most; ++i) {
      const store::Revision before = bed.client.revision();
      for (int turns = 0; turns < 20; ++turns) {  // not one long sleep: a busy machine would make one turn of it
        const Result<void> slept = co_await bed.loop.sleep(quiet / 20);
        if (!slept) co_return false;
      }
      if (bed.client.revision() == before) co_return true;
    }
    co_return false;
  }
};

}  // namespace kayak::test
