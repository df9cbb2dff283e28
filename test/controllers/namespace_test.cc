// namespace_test.cc: what goes in which order when a namespace is deleted, and what its status says meanwhile.
#include <catch2/catch.hpp>

#include "controllers/rows.h"
#include "support/cluster.h"

using namespace kayak;
using namespace kayak::controllers;
using client::text_at;
using test::Cluster;
using test::named;

namespace {

const char* const kDeleting = "2026-01-01T00:00:00Z";

struct Shop : Cluster {
  Shop() {
    start(make_namespace_controller);
    api().put(api::kinds::config_maps(), named("shop", "settings"));
    api().put(api::kinds::config_maps(), named("other", "settings"));
  }
  void put_namespace() {
    api().put(api::kinds::namespaces(),
              named("", "shop",
                    cat("{'metadata':{'deletionTimestamp':'", kDeleting, "'},'spec':{'finalizers':['kubernetes']}}")));
  }
  bool has_settings(const char* space) { return api().find(api::kinds::config_maps(), space, "settings") != nullptr; }
  std::string condition(const char* type, const char* field) {
    const json::Value d = doc_of(api::kinds::namespaces(), "shop", "");
    const json::Value* found = client::item_with(client::array_at(d, {"status", "conditions"}), "type", type);
    return found == nullptr ? "(none)" : std::string(text_at(*found, {field}));
  }
  // Not of this namespace any more: the controller took its finalizer away.
  bool let_go() {
    const api::ObjectRef object = api().find(api::kinds::namespaces(), "", "shop");
    return object == nullptr || client::array_at(*object->document(), {"spec", "finalizers"}).empty();
  }
};

Task<void> until_let_go(Shop& shop) {
  for (int i = 0; i < 1000 && !shop.let_go(); ++i) {
    const Result<void> slept = co_await shop.bed.loop.sleep(std::chrono::milliseconds(10));
    CHECK(slept.ok());
  }
}

Task<void> pods_before_the_rest(Cluster& cluster) {
  Shop& shop = static_cast<Shop&>(cluster);
  shop.api().put(api::kinds::pods(), named("shop", "held", "{'metadata':{'finalizers':['example.com/hold']}}"));
  shop.put_namespace();
  const bool settled = co_await shop.settled();
  CHECK(settled);
  const api::ObjectRef pod = shop.api().find(api::kinds::pods(), "shop", "held");
  CHECK((pod && pod->header().deleting));
  CHECK(shop.has_settings("shop"));
  CHECK_FALSE(shop.let_go());
  CHECK(shop.condition("NamespaceContentRemaining", "message") ==
        "Some resources are remaining: pods has 1 resource instances");
  CHECK(shop.condition("NamespaceFinalizersRemaining", "message") ==
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances");
  shop.api().erase(api::kinds::pods(), "shop", "held");
  co_await until_let_go(shop);
  CHECK(shop.let_go());
  CHECK_FALSE(shop.has_settings("shop"));
  CHECK(shop.has_settings("other"));
}

Task<void> without_pods(Cluster& cluster) {
  Shop& shop = static_cast<Shop&>(cluster);
  shop.put_namespace();
  co_await until_let_go(shop);
  CHECK(shop.let_go());
  CHECK_FALSE(shop.has_settings("shop"));
}

}  // namespace

TEST_CASE("a namespace's pods go before everything else in it") {
  Shop shop;
  CHECK(shop.go(pods_before_the_rest, false).ok());
}

TEST_CASE("a namespace without pods is emptied in one pass") {
  Shop shop;
  CHECK(shop.go(without_pods, false).ok());
}
