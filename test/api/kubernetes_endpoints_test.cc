// kubernetes_endpoints_test.cc: the endpoints of Service default/kubernetes, from the addresses of the API servers.
#include "api/kubernetes_endpoints.h"

#include <catch2/catch.hpp>

#include "base/json.h"

namespace kayak::api {

TEST_CASE("the API's endpoints: those who can be told, once each, by port") {
  struct Row {
    std::string what;
    std::vector<ApiAddress> addresses;
    std::string subsets, slice;  // empty: no objects
  };
  for (const Row& row : {
           Row{"one",
               {{"10.0.0.1", 6443}},
               R"([{"addresses":[{"ip":"10.0.0.1"}],"ports":[{"name":"https","port":6443,"protocol":"TCP"}]}])",
               R"(IPv4 6443: 10.0.0.1)"},
           Row{"three, in any order, one twice",
               {{"10.0.0.3", 6443}, {"10.0.0.1", 6443}, {"10.0.0.3", 6443}, {"10.0.0.2", 6443}},
               R"([{"addresses":[{"ip":"10.0.0.1"},{"ip":"10.0.0.2"},{"ip":"10.0.0.3"}],)"
               R"("ports":[{"name":"https","port":6443,"protocol":"TCP"}]}])",
               R"(IPv4 6443: 10.0.0.1 10.0.0.2 10.0.0.3)"},
           Row{"two ports: the slice has the first one's",
               {{"10.0.0.2", 7443}, {"10.0.0.1", 6443}},
               R"([{"addresses":[{"ip":"10.0.0.1"}],"ports":[{"name":"https","port":6443,"protocol":"TCP"}]},)"
               R"({"addresses":[{"ip":"10.0.0.2"}],"ports":[{"name":"https","port":7443,"protocol":"TCP"}]}])",
               R"(IPv4 7443: 10.0.0.2)"},
           Row{"IPv6",
               {{"fd00::1", 6443}},
               R"([{"addresses":[{"ip":"fd00::1"}],"ports":[{"name":"https","port":6443,"protocol":"TCP"}]}])",
               R"(IPv6 6443: fd00::1)"},
           Row{"loopback and names cannot be told",
               {{"127.0.0.1", 6443}, {"::1", 6443}, {"server.home", 6443}, {"", 6443}},
               "",
               ""},
           Row{"nobody", {}, "", ""},
       }) {
    CAPTURE(row.what);
    const KubernetesEndpoints made = kubernetes_endpoints(row.addresses);
    CHECK(made.endpoints.is_object() == !row.subsets.empty());
    CHECK(made.slice.is_object() == !row.subsets.empty());
    if (row.subsets.empty()) continue;
    CHECK(json::write(*made.endpoints.at({"subsets"})) == row.subsets);
    std::string slice = std::string(made.slice.at({"addressType"})->string_or()) + " " +
                        json::write(*made.slice.at({"ports"})->as_array()[0].at({"port"})) + ":";
    for (const json::Value& endpoint : made.slice.at({"endpoints"})->as_array()) {
      slice += " " + std::string(endpoint.at({"addresses"})->as_array()[0].string_or());
    }
    CHECK(slice == row.slice);
  }
}

}  // namespace kayak::api
