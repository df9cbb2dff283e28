// node_ipam_test.cc: parts of the cluster's pod addresses for nodes.
#include "controllers/node_ipam.h"

#include <catch2/catch.hpp>

using namespace kayak;
using namespace kayak::controllers;

TEST_CASE("the next free part of the pod addresses") {
  struct Row {
    std::string cluster;
    std::vector<std::string> taken;
    std::string want;  // empty: an error
  };
  for (const Row& row :
       {Row{"10.42.0.0/16", {}, "10.42.0.0/24"}, Row{"10.42.0.0/16", {"10.42.0.0/24"}, "10.42.1.0/24"},
        Row{"10.42.0.0/16", {"10.42.1.0/24"}, "10.42.0.0/24"}, Row{"10.42.0.0/16", {"10.42.0.0/23"}, "10.42.2.0/24"},
        Row{"10.42.7.0/24", {}, "10.42.7.0/24"}, Row{"10.42.7.0/24", {"10.42.7.0/24"}, ""},
        Row{"10.42.7.0/26", {}, "10.42.7.0/26"}, Row{"10.42.0.0/23", {"10.42.0.0/24", "10.42.1.0/24"}, ""},
        Row{"10.42.0.0/16", {"nonsense"}, "10.42.0.0/24"}, Row{"nonsense", {}, ""}}) {
    CAPTURE(row.cluster, row.taken);
    const Result<std::string> got = next_pod_cidr(row.cluster, row.taken);
    CHECK((got ? *got : "") == row.want);
  }
}
