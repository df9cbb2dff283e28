// deployment_test.cc: Deployments and ReplicaSets together: rollouts, scaling, history, adoption, conditions.
#include <catch2/catch.hpp>
#include <map>

#include "controllers/rows.h"
#include "support/cluster.h"

using namespace kayak;
using namespace kayak::controllers;
using client::int_at;
using client::text_at;
using test::Cluster;
using test::doc;
using test::named;

namespace {

const api::Kind& deployments() { return api::kinds::deployments(); }
const api::Kind& sets() { return api::kinds::replica_sets(); }

json::Value web(int replicas, const char* image = "v1", const char* rest = "{}") {
  json::Value deployment = named("default", "web");
  json::Value& spec = deployment["spec"];
  spec =
      doc("{'selector':{'matchLabels':{'app':'web'}},'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':"
          "'25%','maxUnavailable':'25%'}},'revisionHistoryLimit':10,'progressDeadlineSeconds':600,"
          "'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c'}]}}}");
  spec["replicas"] = replicas;
  spec["template"]["spec"]["containers"].as_array()[0]["image"] = image;
  const json::Value more = doc(rest);
  for (const auto& [key, value] : more.as_object()) spec[key] = value;
  return deployment;
}

std::string image_of(const json::Value& pod) {
  return std::string(text_at(client::array_at(pod, {"spec", "containers"}).at(0), {"image"}));
}

struct Shop : Cluster {
  Shop() {
    start(make_deployment_controller);
    start(make_replica_set_controller);
  }
  void image(const char* image) {
    api().edit(deployments(), "default", "web",
               [image](json::Value& d) { d["spec"]["template"]["spec"]["containers"].as_array()[0]["image"] = image; });
  }
  void set_spec(const char* field, json::Value value) {
    api().edit(deployments(), "default", "web", [&](json::Value& d) { d["spec"][field] = value; });
  }
  // Sizes of the sets by image.
  std::map<std::string, std::int64_t> sizes() {
    std::map<std::string, std::int64_t> found;
    for (const api::ObjectRef& set : api().all(sets())) {
      const json::Document d = set->document();
      const json::Value& container = client::array_at(*d, {"spec", "template", "spec", "containers"}).at(0);
      found[std::string(text_at(container, {"image"}))] = int_at(*d, {"spec", "replicas"});
    }
    return found;
  }
  std::string condition(const char* type, const char* field = "reason") {
    const json::Value d = doc_of(deployments(), "web");
    const json::Value* found = client::item_with(client::array_at(d, {"status", "conditions"}), "type", type);
    return found == nullptr ? "(none)" : std::string(text_at(*found, {field}));
  }
  std::int64_t status(const char* field) { return int_at(doc_of(deployments(), "web"), {"status", field}); }
  bool rolled_out(int replicas) {
    const json::Value d = doc_of(deployments(), "web");
    return status("updatedReplicas") == replicas && status("replicas") == replicas &&
           status("availableReplicas") == replicas &&
           status("observedGeneration") == int_at(d, {"metadata", "generation"}) &&
           condition("Progressing") == "NewReplicaSetAvailable";
  }
};

using Sizes = std::map<std::string, std::int64_t>;

}  // namespace

TEST_CASE("a deployment makes a set that makes pods, and says so") {
  struct Body {
    static Task<void> run(Cluster& cluster) {
      Shop& shop = static_cast<Shop&>(cluster);
      shop.api().put(deployments(), web(3));
      const bool done = co_await shop.bed.until([&] { return shop.rolled_out(3); });
      REQUIRE(done);
      const bool quiet = co_await shop.settled();
      CHECK(quiet);
      REQUIRE(shop.api().all(sets()).size() == 1);
      const api::ObjectRef set = shop.api().all(sets())[0];
      const json::Document d = set->document();
      const std::string hash(text_at(*d, {"metadata", "labels", "pod-template-hash"}));
      CHECK(hash != "");
      CHECK(set->name() == "web-" + hash);
      CHECK(text_at(*d, {"spec", "selector", "matchLabels", "pod-template-hash"}) == hash);
      CHECK(text_at(*d, {"spec", "template", "metadata", "labels", "pod-template-hash"}) == hash);
      CHECK(text_at(*d, {"metadata", "annotations", "deployment.kubernetes.io/revision"}) == "1");
      CHECK(text_at(*d, {"metadata", "annotations", "deployment.kubernetes.io/desired-replicas"}) == "3");
      CHECK(text_at(*d, {"metadata", "annotations", "deployment.kubernetes.io/max-replicas"}) == "4");
      CHECK(set->header().owners.at(0).kind == "Deployment");
      CHECK(set->header().owners.at(0).controller);
      CHECK(int_at(*d, {"status", "availableReplicas"}) == 3);
      CHECK(int_at(*d, {"status", "fullyLabeledReplicas"}) == 3);
      CHECK(shop.pods().size() == 3);
      for (const api::ObjectRef& pod : shop.pods()) {
        CHECK(pod->name().substr(0, set->name().size() + 1) == set->name() + "-");
        CHECK(pod->header().owners.at(0).uid == set->uid());
      }
      const json::Value dep = shop.doc_of(deployments(), "web");
      CHECK(text_at(dep, {"metadata", "annotations", "deployment.kubernetes.io/revision"}) == "1");
      CHECK(shop.condition("Available") == "MinimumReplicasAvailable");
      CHECK(shop.condition("Progressing", "message") ==
            "ReplicaSet \"" + set->name() + "\" has successfully progressed.");
      CHECK(shop.events("ScalingReplicaSet") ==
            std::vector<std::string>{"Scaled up replica set " + set->name() + " from 0 to 3"});
      CHECK(shop.events("SuccessfulCreate").size() == 3);
    }
  };
  CHECK(Shop().go(Body::run).ok());
}

TEST_CASE("a rolling update keeps availability and surge within bounds") {
  struct Body {
    static Task<void> run(Cluster& cluster) {
      Shop& shop = static_cast<Shop&>(cluster);
      shop.api().put(deployments(), web(8));
      bool done = co_await shop.bed.until([&] { return shop.rolled_out(8); });
      REQUIRE(done);
      std::int64_t fewest = 8, most = 8;
      // New pods get ready when the rollout has gone as far as it may without them: earlier, it could go on without
      // ever being seen at its bounds.
      shop.becomes_ready = [&](const json::Value& pod) { return image_of(pod) == "v1" || (fewest <= 6 && most >= 10); };
      shop.image("v2");
      const auto count = [&] {
        std::int64_t ready = 0, present = 0;
        for (const api::ObjectRef& pod : shop.pods()) {
          if (pod->header().deleting) continue;
          ++present;
          ready += client::array_at(*pod->document(), {"status", "conditions"}).empty() ? 0 : 1;
        }
        fewest = std::min(fewest, ready);
        most = std::max(most, present);
      };
      // At every request: a busy machine may look too seldom to see the dip.
      shop.api().refuse = [&](std::string_view, const api::Kind&, const std::string&, const std::string&) {
        count();
        return std::optional<Error>();
      };
      done = co_await shop.bed.until([&] {
        count();
        return shop.rolled_out(8) && shop.sizes() == Sizes{{"v1", 0}, {"v2", 8}};
      });
      shop.api().refuse = nullptr;
      shop.becomes_ready = [](const json::Value&) { return true; };
      CHECK(done);
      CHECK(fewest == 6);
      CHECK(most == 10);
      // Roll back by template, as kubectl rollout undo does: the old set gets a new number.
      shop.image("v1");
      done = co_await shop.bed.until([&] { return shop.rolled_out(8) && shop.sizes() == Sizes{{"v1", 8}, {"v2", 0}}; });
      CHECK(done);
      CHECK(shop.api().all(sets()).size() == 2);
      for (const api::ObjectRef& set : shop.api().all(sets())) {
        const json::Document d = set->document();
        if (int_at(*d, {"spec", "replicas"}) == 0) continue;
        CHECK(text_at(*d, {"metadata", "annotations", "deployment.kubernetes.io/revision"}) == "3");
        CHECK(text_at(*d, {"metadata", "annotations", "deployment.kubernetes.io/revision-history"}) == "1");
      }
    }
  };
  CHECK(Shop().go(Body::run).ok());
}

TEST_CASE("a rollout that cannot get ready stops within its bounds and times out") {
  struct Body {
    static Task<void> run(Cluster& cluster) {
      Shop& shop = static_cast<Shop&>(cluster);
      shop.api().put(deployments(), web(4, "v1", "{'progressDeadlineSeconds':1}"));
      bool done = co_await shop.bed.until([&] { return shop.rolled_out(4); });
      REQUIRE(done);
      shop.becomes_ready = [](const json::Value& pod) { return image_of(pod) != "bad"; };
      shop.image("bad");
      done = co_await shop.bed.until([&] { return shop.condition("Progressing") == "ProgressDeadlineExceeded"; }, 8);
      CHECK(done);
      CHECK(shop.sizes() == Sizes{{"v1", 3}, {"bad", 2}});
      CHECK(shop.status("availableReplicas") == 3);
      CHECK(shop.condition("Available") == "MinimumReplicasAvailable");
      CHECK(shop.condition("Progressing", "status") == "False");
      shop.image("v1");
      done = co_await shop.bed.until([&] { return shop.rolled_out(4); });
      CHECK(done);
      CHECK(shop.sizes() == Sizes{{"v1", 4}, {"bad", 0}});
    }
  };
  CHECK(Shop().go(Body::run).ok());
}

TEST_CASE("Recreate lets the last old pod go before the first new one comes") {
  struct Body {
    static Task<void> run(Cluster& cluster) {
      Shop& shop = static_cast<Shop&>(cluster);
      shop.api().put(deployments(), web(3, "v1", "{'strategy':{'type':'Recreate'}}"));
      bool done = co_await shop.bed.until([&] { return shop.rolled_out(3); });
      REQUIRE(done);
      shop.image("v2");
      bool mixed = false;
      done = co_await shop.bed.until([&] {
        std::map<std::string, int> images;
        for (const api::ObjectRef& pod : shop.pods()) ++images[image_of(*pod->document())];
        mixed |= images.size() > 1;
        return shop.rolled_out(3) && images == std::map<std::string, int>{{"v2", 3}};
      });
      CHECK(done);
      CHECK_FALSE(mixed);
    }
  };
  CHECK(Shop().go(Body::run).ok());
}

TEST_CASE("scaling up and down, to zero and back") {
  struct Body {
    static Task<void> run(Cluster& cluster) {
      Shop& shop = static_cast<Shop&>(cluster);
      shop.api().put(deployments(), web(2));
      for (const int replicas : {2, 5, 1, 0, 3}) {
        shop.set_spec("replicas", replicas);
        const bool done = co_await shop.bed.until(
            [&] { return shop.rolled_out(replicas) && shop.pods().size() == static_cast<std::size_t>(replicas); });
        CAPTURE(replicas);
        CHECK(done);
      }
      CHECK(shop.api().all(sets()).size() == 1);
    }
  };
  CHECK(Shop().go(Body::run).ok());
}

TEST_CASE("a paused deployment scales but does not roll out") {
  struct Body {
    static Task<void> run(Cluster& cluster) {
      Shop& shop = static_cast<Shop&>(cluster);
      shop.api().put(deployments(), web(2));
      bool done = co_await shop.bed.until([&] { return shop.rolled_out(2); });
      REQUIRE(done);
      shop.set_spec("paused", true);
      shop.image("v2");
      done = co_await shop.bed.until([&] { return shop.condition("Progressing") == "DeploymentPaused"; });
      CHECK(done);
      shop.set_spec("replicas", 4);
      done = co_await shop.bed.until([&] { return shop.sizes() == Sizes{{"v1", 4}}; });
      CHECK(done);
      const bool quiet = co_await shop.settled();
      CHECK(quiet);
      CHECK(shop.sizes() == Sizes{{"v1", 4}});
      shop.set_spec("paused", false);
      done = co_await shop.bed.until([&] { return shop.rolled_out(4) && shop.sizes() == Sizes{{"v1", 0}, {"v2", 4}}; });
      CHECK(done);
    }
  };
  CHECK(Shop().go(Body::run).ok());
}

TEST_CASE("old sets beyond the history limit go") {
  struct Body {
    static Task<void> run(Cluster& cluster) {
      Shop& shop = static_cast<Shop&>(cluster);
      shop.api().put(deployments(), web(1, "v1", "{'revisionHistoryLimit':1}"));
      for (const char* image : {"v1", "v2", "v3", "v4"}) {
        shop.image(image);
        const bool done = co_await shop.bed.until([&] { return shop.rolled_out(1) && shop.sizes()[image] == 1; });
        CAPTURE(image);
        CHECK(done);
      }
      const bool cleaned = co_await shop.bed.until([&] { return shop.sizes() == Sizes{{"v3", 0}, {"v4", 1}}; });
      CHECK(cleaned);
    }
  };
  CHECK(Shop().go(Body::run).ok());
}

TEST_CASE("matching sets and pods without an owner are adopted, others released") {
  struct Body {
    static Task<void> run(Cluster& cluster) {
      Shop& shop = static_cast<Shop&>(cluster);
      json::Value orphan = named("default", "stray", "{'metadata':{'labels':{'app':'web'}}}");
      orphan["spec"] =
          doc("{'replicas':1,'selector':{'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':"
              "{'app':'web'}},'spec':{'containers':[{'name':'c','image':'v1'}]}}}");
      shop.api().put(sets(), std::move(orphan));
      json::Value lone = named("default", "lone", "{'metadata':{'labels':{'app':'web'}},'status':{'phase':'Running'}}");
      lone["spec"] = doc("{'nodeName':'node-1','containers':[{'name':'c','image':'v1'}]}");
      shop.api().put(api::kinds::pods(), std::move(lone));
      bool done = co_await shop.bed.until([&] {
        const api::ObjectRef pod = shop.api().find(api::kinds::pods(), "default", "lone");
        return pod && pod->header().owners.size() == 1;
      });
      CHECK(done);
      CHECK(shop.pods().size() == 1);  // it counts as the set's one replica
      shop.api().put(deployments(), web(2));
      done = co_await shop.bed.until([&] { return shop.rolled_out(2); });
      CHECK(done);
      CHECK(shop.api().all(sets()).size() == 1);  // the stray set has the right template
      // A pod that no longer matches is let go and replaced.
      shop.api().edit(api::kinds::pods(), "default", "lone",
                      [](json::Value& d) { d["metadata"]["labels"]["app"] = "other"; });
      done = co_await shop.bed.until([&] {
        const api::ObjectRef pod = shop.api().find(api::kinds::pods(), "default", "lone");
        return pod->header().owners.empty() && shop.pods().size() == 3;
      });
      CHECK(done);
    }
  };
  CHECK(Shop().go(Body::run).ok());
}

TEST_CASE("pods that cannot be made are reported on the set and the deployment") {
  struct Body {
    static Task<void> run(Cluster& cluster) {
      Shop& shop = static_cast<Shop&>(cluster);
      int tries = 0;
      bool refusing = true;
      shop.api().refuse = [&](std::string_view verb, const api::Kind& kind, const std::string&, const std::string&) {
        if (!refusing || verb != "create" || kind.kind != "Pod") return std::optional<Error>();
        ++tries;
        return std::optional<Error>(Error(Code::kForbidden, "pods are forbidden: exceeded quota"));
      };
      shop.api().put(deployments(), web(100));
      bool done = co_await shop.bed.until([&] { return shop.condition("ReplicaFailure") == "FailedCreate"; });
      CHECK(done);
      CHECK(shop.condition("ReplicaFailure", "message") == "pods are forbidden: exceeded quota");
      CHECK(tries < 20);  // one per reconcile, not a hundred
      CHECK(shop.events("FailedCreate").at(0) == "Error creating: pods are forbidden: exceeded quota");
      refusing = false;
      done = co_await shop.bed.until([&] { return shop.rolled_out(100); }, 15);
      CHECK(done);
      CHECK(shop.condition("ReplicaFailure") == "(none)");
      CHECK(shop.pods().size() == 100);
      shop.api().refuse = nullptr;
    }
  };
  CHECK(Shop().go(Body::run).ok());
}

TEST_CASE("a hash that belongs to another template is stepped over") {
  struct Body {
    static Task<void> run(Cluster& cluster) {
      Shop& shop = static_cast<Shop&>(cluster);
      shop.api().put(deployments(), web(1));
      bool done = co_await shop.bed.until([&] { return shop.rolled_out(1); });
      REQUIRE(done);
      const std::string name = shop.api().all(sets())[0]->name();
      // Someone else's set takes the name: the deployment's own is gone and its template changed under it.
      shop.api().edit(sets(), "default", name, [](json::Value& d) {
        d["spec"]["template"]["spec"]["containers"].as_array()[0]["image"] = "hijacked";
      });
      done = co_await shop.bed.until([&] {
        return shop.rolled_out(1) && shop.status("collisionCount") == 1 &&
               shop.sizes() == Sizes{{"hijacked", 0}, {"v1", 1}};
      });
      CHECK(done);
    }
  };
  CHECK(Shop().go(Body::run).ok());
}

TEST_CASE("no pod is made twice however late the cache is") {
  struct Body {
    static Task<void> run(Cluster& cluster) {
      Shop& shop = static_cast<Shop&>(cluster);
      shop.api().lag = std::chrono::milliseconds(60);
      shop.api().put(deployments(), web(5));
      const bool done = co_await shop.bed.until([&] { return shop.rolled_out(5); }, 10);
      CHECK(done);
      int creates = 0;
      for (const std::string& call : shop.api().calls) creates += call.rfind("create pods", 0) == 0 ? 1 : 0;
      CHECK(creates == 5);
    }
  };
  CHECK(Shop().go(Body::run).ok());
}
