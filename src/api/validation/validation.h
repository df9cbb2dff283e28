// validation.h: the rules that an object must keep, a row per kind and subresource; the files beside it hold the rules,
// one per kind group (validate_pods.cc, validate_workloads.cc, ...). Values in, errors out: nothing here reads the
// store or a clock. Objects are in their storage version, defaulted and canonical, with their system metadata filled
// in. Source: kubernetes pkg/apis/*/validation and apimachinery pkg/api/validation (v1.36): messages are theirs.
#pragma once

#include <string_view>
#include <vector>

#include "api/kind.h"
#include "api/validation/field.h"
#include "api/validation/names.h"
#include "base/json.h"

namespace kayak::api::validation {

using ValidateCreate = void (*)(const json::Value& object, field::ErrorList& errors);
using ValidateUpdate = void (*)(const json::Value& object, const json::Value& old, field::ErrorList& errors);
// What is wrong with `name`; for generateName it is called through name_prefix.
using NameRule = Messages (*)(std::string_view name);

struct Row {
  std::string_view group, resource;  // as in kinds.tsv, of the storage version
  std::string_view subresource;      // "" for the object itself
  NameRule name = nullptr;           // of the object itself; null: a DNS subdomain
  ValidateCreate create = nullptr;
  ValidateUpdate update = nullptr;
};

// The rows of each file; validation.cc searches them all.
std::vector<Row> pod_rows();       // validate_pods.cc: pods, podtemplates, replicationcontrollers
std::vector<Row> core_rows();      // validate_core.cc: the rest of the core group, and events.k8s.io
std::vector<Row> workload_rows();  // validate_workloads.cc: apps, batch, autoscaling, policy
std::vector<Row> cluster_rows();  // validate_cluster.cc: networking, discovery, storage, scheduling, coordination, node
std::vector<Row> access_rows();   // validate_access.cc: rbac, certificates, admissionregistration, apiextensions,
                                  // apiregistration, flowcontrol, resource

// Everything wrong with a new or a changed object: metadata by the common rules, then the kind's row. Warnings as
// upstream's strategies give them (pod template fields and the like) are added to `warnings`.
field::ErrorList validate_create(const Kind& kind, const json::Value& object, std::vector<std::string>& warnings);
field::ErrorList validate_update(const Kind& kind, std::string_view subresource, const json::Value& object,
                                 const json::Value& old, std::vector<std::string>& warnings);

// ---- shared by several files
// The metadata of a template or an object (`path` is its "metadata"): names, labels, annotations, finalizers, owners.
void validate_object_meta(const json::Value* meta, bool namespaced, NameRule name, const field::Path& path,
                          field::ErrorList& errors);
void validate_object_meta_update(const json::Value& meta, const json::Value& old, const field::Path& path,
                                 field::ErrorList& errors);
void validate_labels(const json::Value* labels, const field::Path& path, field::ErrorList& errors);
void validate_annotations(const json::Value* annotations, const field::Path& path, field::ErrorList& errors);
// A metav1.LabelSelector.
void validate_label_selector(const json::Value* selector, const field::Path& path, field::ErrorList& errors);
// `value` as a whole number: "must be greater than or equal to 0".
void validate_non_negative(const json::Value* value, const field::Path& path, field::ErrorList& errors);
// "field is immutable" when they differ.
void validate_immutable(const json::Value* value, const json::Value* old, const field::Path& path,
                        field::ErrorList& errors);
// A pod template: its metadata and spec. validate_pods.cc.
void validate_pod_template_spec(const json::Value& pod_template, const field::Path& path, field::ErrorList& errors);
void validate_pod_spec(const json::Value& spec, const json::Value* pod_meta, const field::Path& path,
                       field::ErrorList& errors);

}  // namespace kayak::api::validation
