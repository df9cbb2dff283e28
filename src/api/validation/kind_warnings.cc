// kind_warnings.cc: what is accepted but unwise in the kinds outside the core group, but for templates of pods.
// Source: kubernetes pkg/registry, the kinds' strategies; apimachinery pkg/util/validation (ip.go) (v1.36).
#include "api/validation/checked.h"
#include "api/validation/ip.h"
#include "api/validation/warnings.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

using Warnings = std::vector<std::string>;

void add(Warnings& warnings, const Checked& field, std::string_view what) {
  warnings.push_back(cat(field.path().text(), ": ", what));
}

}  // namespace

// ---- addresses that are not in the one form that all programs read alike

std::string ip_warning(std::string_view text) {
  IpAddress address;
  if (!parse_ip(text, &address)) return {};
  const std::string canonical = address.to_string();
  if (address.leading_zeros || address.mapped) {
    return cat("non-standard IP address ", quote(text), " is invalid: use ", quote(canonical));
  }
  if (!address.v6 || canonical == text) return {};
  return cat("IPv6 address ", quote(text), " should be in RFC 5952 canonical format (", quote(canonical), ")");
}

void warn_ip(const Checked& field, Warnings& warnings) {
  const std::string warning = ip_warning(field.text());
  if (!warning.empty()) add(warnings, field, warning);
}

void warn_cidr(const Checked& field, Warnings& warnings) {
  IpRange range;
  if (!parse_cidr(field.text(), &range)) return;
  const std::string network = range.to_string();
  bool said = false;
  if (range.host_bits) {
    const std::string single = cat(range.address.to_string(), range.address.v6 ? "/128" : "/32");
    add(warnings, field,
        cat("CIDR value ", quote(field.text()), " is ambiguous in this context (should be ", quote(network), " or ",
            quote(single), "?)"));
    said = true;
  }
  if (range.leading_zeros || range.address.mapped) {
    add(warnings, field, cat("non-standard CIDR value ", quote(field.text()), " is invalid: use ", quote(network)));
    said = true;
  }
  if (!said && range.address.v6 && network != field.text()) {
    add(warnings, field,
        cat("IPv6 CIDR value ", quote(field.text()), " should be in RFC 5952 canonical format (", quote(network), ")"));
  }
}

namespace {

void warn_policy_ranges(const Checked& root, Warnings& warnings) {
  const Checked spec = root["spec"];
  const auto warn_peer = [&](const Checked& peer) {
    const Checked block = peer["ipBlock"];
    if (!block.present()) return;
    warn_cidr(block["cidr"], warnings);
    each_item(block["except"], [&](const Checked& except) { warn_cidr(except, warnings); });
  };
  each_item(spec["ingress"], [&](const Checked& rule) { each_item(rule["from"], warn_peer); });
  each_item(spec["egress"], [&](const Checked& rule) { each_item(rule["to"], warn_peer); });
}

// The slice controllers write good addresses: theirs are not looked at again.
void warn_endpoints(const Checked& root, Warnings& warnings) {
  const Checked metadata = root["metadata"];
  const Checked labels = metadata["labels"];
  const std::string_view manager = labels["endpointslice.kubernetes.io/managed-by"].text();
  if (contains({"endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"}, manager)) return;
  each_item(root["endpoints"], [&](const Checked& endpoint) {
    each_item(endpoint["addresses"], [&](const Checked& address) { warn_ip(address, warnings); });
  });
}

}  // namespace

// ---- labels of nodes

void warn_node_selector(const Checked& selector, Warnings& warnings) {
  each_item(selector["matchExpressions"], [&](const Checked& expression) {
    const Checked key = expression["key"];
    const std::string_view message = deprecated_label(key.text());
    if (!message.empty()) add(warnings, key, cat(key.text(), " is ", message));
  });
  const Checked labels = selector["matchLabels"];
  each_entry(labels, [&](std::string_view key, const Checked&) {
    const std::string_view message = deprecated_label(key);
    if (!message.empty()) add(warnings, labels[key], message);
  });
}

namespace {

void warn_topologies(const Checked& root, Warnings& warnings) {
  each_item(root["allowedTopologies"], [&](const Checked& term) {
    each_item(term["matchLabelExpressions"], [&](const Checked& expression) {
      const Checked key = expression["key"];
      const std::string_view message = deprecated_label(key.text());
      if (!message.empty()) add(warnings, key, message);
    });
  });
}

void warn_runtime(const Checked& root, Warnings& warnings) {
  const Checked scheduling = root["scheduling"];
  const Checked selector = scheduling["nodeSelector"];
  each_entry(selector, [&](std::string_view key, const Checked&) {
    const std::string_view message = deprecated_label(key);
    if (!message.empty()) add(warnings, selector, message);
  });
}

// ---- workloads

void warn_stateful_set(const Checked& root, bool is_new, Warnings& warnings) {
  const Checked spec = root["spec"];
  each_item(spec["volumeClaimTemplates"], [&](const Checked& claim) {
    // Upstream names the place of an update so.
    const field::Path path = is_new ? claim.path() : claim.path().child("Spec");
    warn_claim_quantities(claim["spec"].value(), path, warnings);
  });
  const Checked limit = spec["revisionHistoryLimit"];
  if (limit.number() < 0) {
    add(warnings, limit, "a negative value retains all historical revisions; a value >= 0 is recommended");
  }
}

// Above these, a job's status could grow longer than an object may be.
void warn_many_indexes(const Checked& spec, Warnings& warnings) {
  constexpr std::int64_t kManyCompletions = 100'000, kManyPods = 10'000;
  if (spec["completionMode"].text() != "Indexed" || spec["completions"].number() <= kManyCompletions ||
      spec["parallelism"].number() <= kManyPods) {
    return;
  }
  add(warnings, spec,
      "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes "
      "might not be able to track completedIndexes when a big number of indexes fail");
}

void warn_cron_zone(const Checked& root, Warnings& warnings) {
  const Checked spec = root["spec"];
  if (spec["schedule"].text().find("TZ") == std::string_view::npos) return;
  warnings.push_back(
      "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
      "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details");
}

// ---- others

void warn_reserved_name(const Checked& root, Warnings& warnings) {
  constexpr std::string_view kSuffix = ".static.k8s.io";
  const Checked metadata = root["metadata"];
  const Checked name = metadata["name"];
  if (!name.text().ends_with(kSuffix)) return;
  add(warnings, name,
      cat("names ending with ", quote(kSuffix),
          " are reserved for static manifest-based configurations and cannot be managed via the API"));
}

void warn_tokens(const Checked& root, const json::Value* old, Warnings& warnings) {
  const Checked spec = root["spec"];
  const Checked requests = spec["tokenRequests"];
  if (requests.size() == 0 || spec["serviceAccountTokenInSecrets"].present()) return;
  if (old != nullptr && same_value(requests.get(), old->at({"spec", "tokenRequests"}))) return;
  warnings.push_back(
      "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible "
      "logging of tokens in volume attributes");
}

void warn_driver_name(const Checked& root, Warnings& warnings) {
  const Checked spec = root["spec"];
  const Checked driver = spec["driver"];
  if (to_lower(driver.text()) == driver.text()) return;
  add(warnings, driver,
      cat("driver names should be lowercase; ", quote(driver.text()), " contains uppercase characters"));
}

// ---- formats of a custom resource's fields

bool is_known_format(std::string_view type, std::string_view format) {
  if (type == "integer") return format == "int32" || format == "int64";
  if (type == "number") return format == "float" || format == "double";
  if (!type.empty() && type != "string") return false;
  std::string name(format);
  name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
  return contains({"bsonobjectid", "uri",        "email",    "hostname",     "ipv4",       "ipv6", "cidr",
                   "mac",          "uuid",       "uuid3",    "uuid4",        "uuid5",      "isbn", "isbn10",
                   "isbn13",       "creditcard", "ssn",      "hexcolor",     "rgbcolor",   "byte", "password",
                   "date",         "duration",   "datetime", "k8sshortname", "k8slongname"},
                  name);
}

void collect_formats(const Checked& schema, std::vector<std::string_view>& formats) {
  if (!schema.present() || !schema.value().is_object()) return;
  const std::string_view format = schema["format"].text();
  if (!format.empty() && !is_known_format(schema["type"].text(), format)) formats.push_back(format);
  const auto collect = [&formats](const Checked& below) { collect_formats(below, formats); };
  const auto collect_entry = [&formats](std::string_view, const Checked& below) { collect_formats(below, formats); };
  collect(schema["items"]);
  for (const std::string_view member : {"allOf", "anyOf", "oneOf"}) each_item(schema[member], collect);
  collect(schema["not"]);
  each_entry(schema["properties"], collect_entry);
  collect(schema["additionalProperties"]);
}

std::vector<std::string_view> formats_of(const Checked& root) {
  std::vector<std::string_view> formats;
  const Checked spec = root["spec"];
  const json::Value* before = nullptr;
  each_item(spec["versions"], [&](const Checked& version) {
    const Checked schema = version["schema"];
    // A schema that all versions share is looked at once.
    if (before != nullptr && same_value(before, schema.get())) return;
    before = schema.get();
    collect_formats(schema["openAPIV3Schema"], formats);
  });
  return formats;
}

void warn_formats(const Checked& root, const json::Value* old, Warnings& warnings) {
  Seen known;
  if (old != nullptr) {
    field::ErrorList unused;
    for (const std::string_view format : formats_of(Checked(*old, unused))) known.add(format);
  }
  for (const std::string_view format : formats_of(root)) {
    if (!known.has(format)) warnings.push_back(cat("unrecognized format ", quote(format)));
  }
}

bool is(const Kind& kind, std::string_view group, std::string_view resource) {
  return kind.plural == resource && kind.group == group;
}

// What is said of every write.
void warn_always(const Kind& kind, const Checked& root, Warnings& warnings) {
  if (kind.group == "admissionregistration.k8s.io") return warn_reserved_name(root, warnings);
  if (is(kind, "networking.k8s.io", "networkpolicies")) return warn_policy_ranges(root, warnings);
  if (is(kind, "discovery.k8s.io", "endpointslices")) return warn_endpoints(root, warnings);
  if (is(kind, "node.k8s.io", "runtimeclasses")) return warn_runtime(root, warnings);
  if (is(kind, "storage.k8s.io", "storageclasses")) return warn_topologies(root, warnings);
  if (is(kind, "storage.k8s.io", "csistoragecapacities")) return warn_node_selector(root["nodeTopology"], warnings);
  if (is(kind, "resource.k8s.io", "resourceslices")) return warn_driver_name(root, warnings);
}

void warn_jobs(const Kind& kind, const Checked& root, Warnings& warnings) {
  const Checked spec = root["spec"];
  if (is(kind, "batch", "jobs")) return warn_many_indexes(spec, warnings);
  if (!is(kind, "batch", "cronjobs")) return;
  const Checked job = spec["jobTemplate"];
  warn_many_indexes(job["spec"], warnings);
}

}  // namespace

void warn_kind_create(const Kind& kind, const json::Value& object, Warnings& warnings) {
  field::ErrorList unused;
  const Checked root(object, unused);
  warn_jobs(kind, root, warnings);
  if (is(kind, "discovery.k8s.io", "endpointslices") && root["addressType"].text() == "FQDN") {
    warnings.push_back("spec.addressType: FQDN endpoints are deprecated");
  }
  warn_always(kind, root, warnings);
  if (is(kind, "apps", "statefulsets")) warn_stateful_set(root, true, warnings);
  if (is(kind, "storage.k8s.io", "csidrivers")) warn_tokens(root, nullptr, warnings);
  if (is(kind, "apiextensions.k8s.io", "customresourcedefinitions")) warn_formats(root, nullptr, warnings);
  constexpr std::string_view kClass = "kubernetes.io/ingress.class";
  if (is(kind, "networking.k8s.io", "ingresses") && object.at({"metadata", "annotations", kClass}) != nullptr &&
      same_value(object.at({"spec", "ingressClassName"}), nullptr)) {
    warnings.push_back(cat("annotation ", quote(kClass), " is deprecated, please use 'spec.ingressClassName' instead"));
  }
}

void warn_kind_update(const Kind& kind, const json::Value& object, const json::Value& old, Warnings& warnings) {
  field::ErrorList unused;
  const Checked root(object, unused);
  if (!same_member(object, old, {"spec"})) warn_jobs(kind, root, warnings);
  warn_always(kind, root, warnings);
  if (is(kind, "apps", "statefulsets")) warn_stateful_set(root, false, warnings);
  if (is(kind, "batch", "cronjobs")) warn_cron_zone(root, warnings);
  if (is(kind, "storage.k8s.io", "csidrivers")) warn_tokens(root, &old, warnings);
  if (is(kind, "apiextensions.k8s.io", "customresourcedefinitions")) warn_formats(root, &old, warnings);
}

}  // namespace kayak::api::validation
