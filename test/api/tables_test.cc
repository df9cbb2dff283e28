// tables_test.cc: ages, and the cells of pods, nodes, services and others as kubectl shows them; the columns of every
// kind against the fact table.
#include "api/tables/tables.h"

#include <catch2/catch.hpp>
#include <map>

#include "base/files.h"
#include "base/strings.h"

using namespace kayak;
using namespace kayak::api;
using namespace std::chrono_literals;

TEST_CASE("ages read as kubectl's") {
  struct Row {
    Duration age;
    const char* want;
  };
  for (const Row& row :
       {Row{-5s, "<invalid>"}, Row{-1s, "0s"}, Row{0s, "0s"}, Row{119s, "119s"}, Row{120s, "2m"}, Row{125s, "2m5s"},
        Row{10min, "10m"}, Row{179min, "179m"}, Row{180min, "3h"}, Row{185min, "3h5m"}, Row{8h, "8h"}, Row{47h, "47h"},
        Row{48h, "2d"}, Row{50h, "2d2h"}, Row{192h, "8d"}, Row{24h * 700, "700d"}, Row{24h * 731, "2y1d"},
        Row{24h * 730, "2y"}, Row{24h * 365 * 9, "9y"}}) {
    CAPTURE(row.want);
    CHECK(human_duration(row.age) == row.want);
  }
}

namespace {
std::string cells_of(const char* group, const char* kind, const std::string& text) {
  const Result<json::Value> object = json::read(text);
  REQUIRE(object);
  WallTime now;
  REQUIRE(parse_time("2026-01-01T01:00:00Z", &now));
  std::string out;
  for (const json::Value& cell : table_cells(table_columns(group, kind), *object, now)) {
    out += cat(out.empty() ? "" : "|", cell.is_string() ? cell.as_string() : json::write(cell));
  }
  return out;
}
}  // namespace

TEST_CASE("cells of common kinds") {
  struct Row {
    const char* group;
    const char* kind;
    const char* object;
    const char* want;
  };
  const Row rows[] = {
      {"", "Pod",
       R"({"metadata":{"name":"a","creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"containers":[{}],"nodeName":"n"},
         "status":{"phase":"Running","podIPs":[{"ip":"10.42.0.2"}],
                   "containerStatuses":[{"ready":true,"restartCount":0,"state":{"running":{}}}]}})",
       "a|1/1|Running|0|60m|10.42.0.2|n|<none>|<none>"},
      {"", "Pod",
       R"({"metadata":{"name":"b"},"spec":{"containers":[{},{}]},"status":{"phase":"Running","containerStatuses":[
         {"ready":true,"restartCount":0,"state":{"running":{}}},
         {"ready":false,"restartCount":3,"state":{"waiting":{"reason":"CrashLoopBackOff"}},
          "lastState":{"terminated":{"finishedAt":"2026-01-01T00:59:30Z"}}}]}})",
       "b|1/2|CrashLoopBackOff|3 (30s ago)|<unknown>|<none>|<none>|<none>|<none>"},
      {"", "Pod",
       R"({"metadata":{"name":"c","deletionTimestamp":"x"},"spec":{"containers":[{}]},"status":{"phase":"Running"}})",
       "c|0/1|Terminating|0|<unknown>|<none>|<none>|<none>|<none>"},
      {"", "Pod",
       R"({"metadata":{"name":"d"},"spec":{"containers":[{}],"initContainers":[{"name":"i"},{"name":"j"}]},
         "status":{"phase":"Pending","initContainerStatuses":[{"name":"i","state":{"terminated":{"exitCode":0}}},
         {"name":"j","state":{"waiting":{"reason":"PodInitializing"}}}]}})",
       "d|0/1|Init:1/2|0|<unknown>|<none>|<none>|<none>|<none>"},
      {"", "Node",
       R"({"metadata":{"name":"n","labels":{"node-role.kubernetes.io/control-plane":"true"}},"spec":{"unschedulable":true},
         "status":{"conditions":[{"type":"Ready","status":"True"}],
         "addresses":[{"type":"InternalIP","address":"1.2.3.4"}],"nodeInfo":{"kubeletVersion":"v1"}}})",
       "n|Ready,SchedulingDisabled|control-plane|<unknown>|v1|1.2.3.4|<none>|<unknown>|<unknown>|<unknown>"},
      {"", "Service",
       R"({"metadata":{"name":"s"},"spec":{"type":"NodePort","clusterIPs":["10.43.0.5"],
         "ports":[{"port":80,"nodePort":30080,"protocol":"TCP"}],"selector":{"b":"2","a":"1"}}})",
       "s|NodePort|10.43.0.5|<none>|80:30080/TCP|<unknown>|a=1,b=2"},
      {"apps", "Deployment",
       R"({"metadata":{"name":"d"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},
         "template":{"spec":{"containers":[{"name":"x","image":"i"}]}}},"status":{"readyReplicas":1,"updatedReplicas":2}})",
       "d|1/2|2|0|<unknown>|x|i|a=b"},
      {"", "ConfigMap", R"({"metadata":{"name":"c"},"data":{"a":"1"},"binaryData":{"b":"2"}})", "c|2|<unknown>"},
      {"rbac.authorization.k8s.io", "Role", R"({"metadata":{"name":"r","creationTimestamp":"2026-01-01T00:00:00Z"}})",
       "r|2026-01-01T00:00:00Z"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.kind);
    CHECK(cells_of(row.group, row.kind, row.object) == row.want);
  }
}

TEST_CASE("every kind has the columns of the fact table, and cells for an empty object") {
  const Result<std::string> facts = read_file("../shared/api/columns.tsv");
  if (!facts) {
    WARN("skipped: ../shared/api/columns.tsv is not here");
    return;
  }
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> wanted;
  for (std::string_view line : split(*facts, '\n')) {
    const std::vector<std::string_view> c = split(line, '\t');
    if (c.size() < 7 || c[0] == "group_version" || c[0] == "*" || c[1].find_first_of("(<") != std::string_view::npos)
      continue;
    // Answers that are no stored kinds: metrics come with their issue, a Status is printed by its sender.
    if (c[0] == "metrics.k8s.io/v1beta1" || c[1] == "Status") continue;
    const std::size_t slash = c[0].find('/');
    const std::string group(slash == std::string_view::npos ? "" : c[0].substr(0, slash));
    wanted[{group, std::string(c[1])}].push_back(cat(c[3], "|", c[4], "|", c[6]));
  }
  CHECK(wanted.size() > 55);
  for (auto& [kind, columns] : wanted) {
    CAPTURE(kind.first, kind.second);
    // The two versions of the autoscaler share their columns.
    if (kind.second == "HorizontalPodAutoscaler") columns.resize(columns.size() / 2);
    std::vector<std::string> got;
    for (const TableColumn& column : table_columns(kind.first, kind.second)) {
      got.push_back(cat(column.name, "|", column.type, "|", column.priority));
    }
    CHECK(got == columns);
    const json::Value empty = json::Value(json::Object());
    CHECK(table_cells(table_columns(kind.first, kind.second), empty, WallTime()).size() == columns.size());
  }
}
