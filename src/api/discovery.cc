// discovery.cc: discovery documents from the kind table, made once at start.
#include "api/discovery.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>

#include "api/negotiate.h"
#include "api/request_info.h"
#include "api/schema.h"
#include "api/status.h"
#include "base/strings.h"
#include "io/tls.h"

namespace kayak::api {

namespace {

struct Version {
  std::string_view version;
  std::vector<const Kind*> kinds;
};
struct Group {
  std::string_view name;
  std::vector<Version> versions;  // the preferred first
};

// Groups that upstream lists before the others, in this order; the rest follows by name.
// Source: apiserver aggregator, group priorities.
constexpr std::array<std::string_view, 19> kGroupOrder = {"",
                                                          "apiregistration.k8s.io",
                                                          "apps",
                                                          "events.k8s.io",
                                                          "authentication.k8s.io",
                                                          "authorization.k8s.io",
                                                          "autoscaling",
                                                          "batch",
                                                          "certificates.k8s.io",
                                                          "networking.k8s.io",
                                                          "policy",
                                                          "rbac.authorization.k8s.io",
                                                          "storage.k8s.io",
                                                          "admissionregistration.k8s.io",
                                                          "apiextensions.k8s.io",
                                                          "scheduling.k8s.io",
                                                          "coordination.k8s.io",
                                                          "node.k8s.io",
                                                          "discovery.k8s.io"};

std::vector<Group> served_groups() {
  std::vector<Group> groups;
  for (const Kind& kind : all_kinds()) {
    if (!is_served(kind)) continue;
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.name == kind.group; });
    if (group == groups.end()) group = groups.insert(groups.end(), Group{kind.group, {}});
    auto version = std::find_if(group->versions.begin(), group->versions.end(),
                                [&](const Version& v) { return v.version == kind.version; });
    if (version == group->versions.end())
      version = group->versions.insert(group->versions.end(), Version{kind.version, {}});
    version->kinds.push_back(&kind);
  }
  auto place = [](const Group& group) {
    return std::find(kGroupOrder.begin(), kGroupOrder.end(), group.name) - kGroupOrder.begin();
  };
  std::stable_sort(groups.begin(), groups.end(), [&](const Group& a, const Group& b) { return place(a) < place(b); });
  for (Group& group : groups) {
    // v2 before v1: all are GA, and the newer is preferred.
    std::stable_sort(group.versions.begin(), group.versions.end(),
                     [](const Version& a, const Version& b) { return a.version > b.version; });
    for (Version& version : group.versions) {
      std::stable_sort(version.kinds.begin(), version.kinds.end(),
                       [](const Kind* a, const Kind* b) { return a->plural < b->plural; });
    }
  }
  return groups;
}

std::string group_version(std::string_view group, std::string_view version) {
  return group.empty() ? std::string(version) : cat(group, "/", version);
}

json::Array texts(std::string_view list) {
  json::Array out;
  for (std::string_view item : split(list, ',')) {
    if (!item.empty()) out.emplace_back(item);
  }
  return out;
}

json::Array verbs_of(std::string_view list) {
  std::vector<std::string_view> verbs;
  for (std::string_view verb : split(list, ',')) {
    if (!verb.empty()) verbs.push_back(verb);
  }
  std::sort(verbs.begin(), verbs.end());
  json::Array out;
  for (std::string_view verb : verbs) out.emplace_back(verb);
  return out;
}

json::Value resource_of(const Kind& kind) {
  json::Value resource;
  resource["name"] = kind.plural;
  resource["singularName"] = kind.singular;
  resource["namespaced"] = kind.namespaced;
  resource["kind"] = kind.kind;
  resource["verbs"] = verbs_of(kind.verbs);
  if (!kind.short_names.empty()) resource["shortNames"] = texts(kind.short_names);
  if (!kind.categories.empty()) resource["categories"] = texts(kind.categories);
  if (!kind.storage_version_hash.empty()) resource["storageVersionHash"] = kind.storage_version_hash;
  return resource;
}

json::Value subresource_of(const Kind& kind, const SubresourceRow& row) {
  json::Value resource;
  resource["name"] = cat(kind.plural, "/", row.name);
  resource["singularName"] = "";
  resource["namespaced"] = kind.namespaced;
  if (row.group != kind.group || row.version != kind.version) {
    if (!row.group.empty()) resource["group"] = row.group;
    resource["version"] = row.version;
  }
  resource["kind"] = row.kind;
  resource["verbs"] = verbs_of(row.verbs);
  return resource;
}

json::Value resource_list(std::string_view group, const Version& version) {
  json::Value list;
  list["kind"] = "APIResourceList";
  if (!group.empty()) list["apiVersion"] = "v1";
  list["groupVersion"] = group_version(group, version.version);
  json::Array resources;
  for (const Kind* kind : version.kinds) {
    resources.push_back(resource_of(*kind));
    for (const SubresourceRow& row : kind->subresources) {
      if (is_served(*kind, row)) resources.push_back(subresource_of(*kind, row));
    }
  }
  list["resources"] = std::move(resources);
  return list;
}

json::Value version_entry(std::string_view group, std::string_view version) {
  json::Value entry;
  entry["groupVersion"] = group_version(group, version);
  entry["version"] = version;
  return entry;
}

json::Value group_document(const Group& group, bool with_type) {
  json::Value document;
  if (with_type) {
    document["kind"] = "APIGroup";
    document["apiVersion"] = "v1";
  }
  document["name"] = group.name;
  json::Array versions;
  for (const Version& version : group.versions) versions.push_back(version_entry(group.name, version.version));
  document["versions"] = std::move(versions);
  document["preferredVersion"] = version_entry(group.name, group.versions.front().version);
  return document;
}

json::Value kind_of(std::string_view group, std::string_view version, std::string_view kind) {
  json::Value value;
  value["group"] = group;
  value["version"] = version;
  value["kind"] = kind;
  return value;
}

json::Value aggregated_resource(const Kind& kind) {
  json::Value resource;
  resource["resource"] = kind.plural;
  resource["responseKind"] = kind_of(kind.group, kind.version, kind.kind);
  resource["scope"] = kind.namespaced ? "Namespaced" : "Cluster";
  resource["singularResource"] = kind.singular;
  resource["verbs"] = verbs_of(kind.verbs);
  if (!kind.short_names.empty()) resource["shortNames"] = texts(kind.short_names);
  if (!kind.categories.empty()) resource["categories"] = texts(kind.categories);
  json::Array subresources;
  for (const SubresourceRow& row : kind.subresources) {
    if (!is_served(kind, row)) continue;
    json::Value subresource;
    subresource["subresource"] = row.name;
    subresource["responseKind"] = kind_of(row.group, row.version, row.kind);
    subresource["verbs"] = verbs_of(row.verbs);
    subresources.push_back(std::move(subresource));
  }
  if (!subresources.empty()) resource["subresources"] = std::move(subresources);
  return resource;
}

// /api (`core`) or /apis in one document.
json::Value aggregated(const std::vector<Group>& groups, bool core, std::string_view version) {
  json::Value list;
  list["kind"] = "APIGroupDiscoveryList";
  list["apiVersion"] = cat("apidiscovery.k8s.io/", version);
  list["metadata"] = json::Object();
  json::Array items;
  for (const Group& group : groups) {
    if (group.name.empty() != core) continue;
    json::Value item;
    item["metadata"] = json::Object();
    if (!core) item["metadata"]["name"] = group.name;
    json::Array versions;
    for (const Version& served : group.versions) {
      json::Value entry;
      entry["version"] = served.version;
      json::Array resources;
      for (const Kind* kind : served.kinds) resources.push_back(aggregated_resource(*kind));
      entry["resources"] = std::move(resources);
      entry["freshness"] = "Current";
      versions.push_back(std::move(entry));
    }
    item["versions"] = std::move(versions);
    items.push_back(std::move(item));
  }
  list["items"] = std::move(items);
  return list;
}

// A document in its forms, made once.
struct Page {
  std::string json, etag;
  std::string aggregated_v2, etag_v2;
  std::string aggregated_v2beta1, etag_v2beta1;
};

std::string etag_of(const std::string& text) { return cat("\"", hex_encode(io::sha256(text)), "\""); }

bool asks_for_aggregated(std::string_view accept, std::string* version) {
  for (const MediaType& media : parse_accept(accept)) {
    if (media.type != "application/json") continue;
    if (media.parameter("as") == "APIGroupDiscoveryList" && media.parameter("g") == "apidiscovery.k8s.io") {
      const std::string_view wanted = media.parameter("v");
      if (wanted == "v2" || wanted == "v2beta1") {
        *version = wanted;
        return true;
      }
      continue;
    }
    if (media.parameter("as").empty()) return false;  // plain JSON is preferred to what follows
  }
  return false;
}

PathAnswer page_answer(const PathRequest& request, std::string_view text, std::string_view etag,
                       std::string content_type) {
  PathAnswer answer;
  answer.content_type = std::move(content_type);
  if (!etag.empty()) {
    answer.headers.add("ETag", std::string(etag));
    answer.headers.add("Vary", "Accept");
    if (request.http.headers.get("If-None-Match") == etag) {
      answer.status = 304;
      return answer;
    }
  }
  answer.body.push_back(io::Slice{text, nullptr});
  return answer;
}

std::function<Result<PathAnswer>(const PathRequest&)> root_answer(std::shared_ptr<const Page> page) {
  return [page](const PathRequest& request) -> Result<PathAnswer> {
    std::string version;
    if (!asks_for_aggregated(request.http.headers.get("Accept"), &version)) {
      return page_answer(request, page->json, "", "application/json");
    }
    const bool v2 = version == "v2";
    return page_answer(request, v2 ? page->aggregated_v2 : page->aggregated_v2beta1,
                       v2 ? page->etag_v2 : page->etag_v2beta1,
                       cat("application/json;g=apidiscovery.k8s.io;v=", version, ";as=APIGroupDiscoveryList"));
  };
}

std::function<Result<PathAnswer>(const PathRequest&)> fixed_answer(json::Value document) {
  auto text = std::make_shared<const std::string>(json::write(document) + '\n');
  return [text](const PathRequest& request) -> Result<PathAnswer> {
    PathAnswer answer = page_answer(request, *text, "", "application/json");
    for (io::Slice& slice : answer.body) slice.owner = text;
    return answer;
  };
}

std::shared_ptr<const Page> root_page(const std::vector<Group>& groups, bool core, const json::Value& legacy) {
  auto page = std::make_shared<Page>();
  page->json = json::write(legacy) + '\n';
  page->aggregated_v2 = json::write(aggregated(groups, core, "v2")) + '\n';
  page->aggregated_v2beta1 = json::write(aggregated(groups, core, "v2beta1")) + '\n';
  page->etag_v2 = etag_of(page->aggregated_v2);
  page->etag_v2beta1 = etag_of(page->aggregated_v2beta1);
  return page;
}

}  // namespace

std::vector<PathRow> discovery_paths() {
  const std::vector<Group> groups = served_groups();
  std::vector<PathRow> rows;
  json::Value core_versions;
  core_versions["kind"] = "APIVersions";
  core_versions["versions"] = json::Array{json::Value("v1")};
  core_versions["serverAddressByClientCIDRs"] = json::Array();
  json::Value group_list;
  group_list["kind"] = "APIGroupList";
  group_list["apiVersion"] = "v1";
  json::Array listed;
  for (const Group& group : groups) {
    if (!group.name.empty()) listed.push_back(group_document(group, false));
  }
  group_list["groups"] = std::move(listed);
  rows.push_back(PathRow{"/api", root_answer(root_page(groups, true, core_versions))});
  rows.push_back(PathRow{"/apis", root_answer(root_page(groups, false, group_list))});
  for (const Group& group : groups) {
    if (!group.name.empty()) {
      rows.push_back(PathRow{cat("/apis/", group.name), fixed_answer(group_document(group, true))});
    }
    for (const Version& version : group.versions) {
      const std::string path =
          group.name.empty() ? cat("/api/", version.version) : cat("/apis/", group.name, "/", version.version);
      rows.push_back(PathRow{path, fixed_answer(resource_list(group.name, version))});
    }
  }
  return rows;
}

}  // namespace kayak::api
