// subresources.cc: scale, binding and log.
#include "api/subresources.h"

#include <algorithm>

#include "api/decode.h"
#include "api/document.h"
#include "api/pipeline.h"
#include "api/reads.h"
#include "api/selector.h"
#include "api/status.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

Expected scale_expected() { return Expected{"autoscaling", "v1", "Scale", find_message("autoscaling/v1", "Scale")}; }

// The selector of a scaled workload as text: a replication controller's is a map, the others' a LabelSelector.
std::string selector_text(const json::Value& workload) {
  const json::Value* selector = workload.at({"spec", "selector"});
  if (selector == nullptr || !selector->is_object()) return "";
  if (selector->find("matchLabels") == nullptr && selector->find("matchExpressions") == nullptr) {
    LabelPairs labels;
    for (const auto& [key, value] : selector->as_object()) labels.emplace_back(key, std::string(value.string_or()));
    std::sort(labels.begin(), labels.end());
    return LabelSelector::equals(labels).to_string();
  }
  Result<LabelSelector> parsed = LabelSelector::from_object(selector);
  return parsed ? parsed->to_string() : "";
}

json::Value scale_of(const json::Value& workload) {
  json::Value scale;
  scale["kind"] = "Scale";
  scale["apiVersion"] = "autoscaling/v1";
  json::Value& metadata = scale["metadata"];
  for (std::string_view name : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}) {
    if (const json::Value* value = meta_find(workload, name)) metadata[name] = *value;
  }
  scale["spec"] = json::Object();
  scale["status"] = json::Object();
  if (const json::Value* replicas = workload.at({"spec", "replicas"})) scale["spec"]["replicas"] = *replicas;
  const json::Value* current = workload.at({"status", "replicas"});
  scale["status"]["replicas"] = current == nullptr ? json::Value(0) : *current;
  const std::string selector = selector_text(workload);
  if (!selector.empty()) scale["status"]["selector"] = selector;
  canonicalize(*scale_expected().message, scale);
  set_type(scale, "autoscaling/v1", "Scale");
  return scale;
}

ApiResponse scale_answer(const ObjectRef& workload) {
  ApiResponse response;
  DocumentAnswer answer;
  answer.document = scale_of(*workload->document());
  answer.message = scale_expected().message;
  answer.table_group = "autoscaling";
  answer.table_kind = "Scale";
  response.document = std::move(answer);
  return response;
}

// The Scale that a PUT or PATCH wants, laid over the workload that it scales.
Change scale_change(const ApiRequest& request, Change wanted_scale) {
  return [&request, wanted_scale = std::move(wanted_scale)](const json::Value& old,
                                                            std::vector<std::string>& warnings) -> Result<json::Value> {
    Result<json::Value> scale = wanted_scale(scale_of(old), warnings);
    if (!scale) return scale.error();
    if (auto matched = match_url(request, *scale); !matched) return matched.error();
    const json::Value* replicas = scale->at({"spec", "replicas"});
    const std::int64_t count = replicas == nullptr ? 0 : replicas->int_or(0);
    if (count < 0) {
      return field::to_error(
          "autoscaling", "Scale", request.name,
          {field::invalid(field::Path("spec.replicas"), count, "must be greater than or equal to 0")});
    }
    json::Value workload = old;
    // The revision and uid that the client saw are the workload's: both are checked on it.
    for (std::string_view field : {"resourceVersion", "uid"}) {
      copy_member(metadata_of(workload), *scale->find("metadata"), field);
    }
    workload["spec"]["replicas"] = count;
    canonicalize(*request.kind->message, workload);
    return workload;
  };
}

Change put_scale(const ApiRequest& request) {
  return [&request](const json::Value&, std::vector<std::string>& warnings) {
    return decode_document(scale_expected(), request.body, request.duplicate_fields, request.write.field_validation,
                           warnings);
  };
}

// ---- binding

struct Binding {
  std::string pod, node;
  const json::Value* document;
};

Result<Binding> read_binding(const ApiRequest& request, const json::Value& document) {
  Binding binding;
  binding.document = &document;
  binding.pod = meta_text(document, "name");
  binding.node = text_at(document, {"target", "name"});
  if (!request.name.empty() && !binding.pod.empty() && binding.pod != request.name) {
    return bad_request("name in URL does not match name in Binding object");
  }
  if (!request.name.empty()) binding.pod = request.name;
  if (binding.pod.empty()) return bad_request("name of the pod is missing in the Binding object");
  const std::string_view own_namespace = meta_text(document, "namespace");
  if (!own_namespace.empty() && own_namespace != request.namespace_) {
    return bad_request("the namespace of the provided object does not match the namespace sent on the request");
  }
  constexpr std::string_view kTargets[] = {"Node", "<empty>"};
  field::ErrorList errors;
  const std::string_view kind = text_at(document, {"target", "kind"});
  if (!kind.empty() && kind != "Node") {
    errors.push_back(field::not_supported(field::Path("target.kind"), json::Value(kind), kTargets));
  }
  if (binding.node.empty()) errors.push_back(field::required(field::Path("target.name"), ""));
  if (!errors.empty()) return field::to_error("", "Binding", binding.pod, errors);
  return binding;
}

Error binding_conflict(const std::string& pod, std::string_view why) {
  StatusDetails details;
  details.name = pod;
  details.kind = "pods/binding";
  return Error(Code::kConflict, cat("Operation cannot be fulfilled on pods/binding ", quote(pod), ": ", why),
               std::move(details));
}

void merge_texts(json::Value& pod, const json::Value& binding, std::string_view name) {
  const json::Value* given = meta_find(binding, name);
  if (given == nullptr || !given->is_object()) return;
  json::Value& texts = metadata_of(pod)[name];
  if (!texts.is_object()) texts = json::Object();
  for (const auto& [key, value] : given->as_object()) texts[key] = value;
}

void set_scheduled(json::Value& pod, WallTime now) {
  json::Value& status = pod["status"];
  erase_member(status, "nominatedNodeName");
  json::Value& conditions = status["conditions"];
  if (!conditions.is_array()) conditions = json::Array();
  json::Object condition;
  condition.set("type", "PodScheduled");
  condition.set("status", "True");
  condition.set("lastTransitionTime", format_time(now));
  for (json::Value& present : conditions.as_array()) {
    if (text_at(present, {"type"}) != "PodScheduled") continue;
    if (text_at(present, {"status"}) != "True") present = condition;
    return;
  }
  conditions.as_array().emplace_back(std::move(condition));
}

Result<json::Value> bound_pod(const json::Value& old, const Binding& binding, WallTime now) {
  if (is_deleting(old)) {
    return binding_conflict(binding.pod, cat("pod ", binding.pod, " is being deleted, cannot be assigned to a host"));
  }
  const std::string_view present = text_at(old, {"spec", "nodeName"});
  if (!present.empty()) {
    return binding_conflict(binding.pod, cat("pod ", binding.pod, " is already assigned to node ", quote(present)));
  }
  const json::Value* gates = old.at({"spec", "schedulingGates"});
  if (gates != nullptr && gates->is_array() && !gates->as_array().empty()) {
    return binding_conflict(binding.pod, cat("pod ", binding.pod, " has non-empty .spec.schedulingGates"));
  }
  json::Value pod = old;
  erase_meta(pod, "resourceVersion");
  for (std::string_view field : {"resourceVersion", "uid"}) {
    if (const json::Value* wanted = meta_find(*binding.document, field)) metadata_of(pod)[field] = *wanted;
  }
  pod["spec"]["nodeName"] = binding.node;
  merge_texts(pod, *binding.document, "annotations");
  merge_texts(pod, *binding.document, "labels");
  set_scheduled(pod, now);
  canonicalize(*kinds::pods().message, pod);
  return pod;
}

// ---- log

std::vector<std::string> container_names(const json::Value& pod, std::string_view list) {
  std::vector<std::string> names;
  const json::Value* containers = pod.at({"spec", list});
  if (containers == nullptr || !containers->is_array()) return names;
  for (const json::Value& container : containers->as_array()) names.emplace_back(text_at(container, {"name"}));
  return names;
}

// The container that is meant, or why that is unclear.
Result<std::string> choose_container(const json::Value& pod, const std::string& name, const std::string& wanted) {
  const std::vector<std::string> containers = container_names(pod, "containers");
  const std::vector<std::string> init = container_names(pod, "initContainers");
  const std::vector<std::string> ephemeral = container_names(pod, "ephemeralContainers");
  if (wanted.empty()) {
    if (containers.size() == 1 && init.empty() && ephemeral.empty()) return containers[0];
    std::string choices = cat("choose one of: [", join(containers, " "), "]");
    if (!init.empty()) choices += cat(" or one of the init containers: [", join(init, " "), "]");
    if (!ephemeral.empty()) choices += cat(" or one of the ephemeral containers: [", join(ephemeral, " "), "]");
    return bad_request(cat("a container name must be specified for pod ", name, ", ", choices));
  }
  for (const auto* list : {&containers, &init, &ephemeral}) {
    if (std::find(list->begin(), list->end(), wanted) != list->end()) return wanted;
  }
  return bad_request(cat("container ", wanted, " is not valid for pod ", name));
}

class NoBytes final : public io::HttpBody {
 public:
  Task<Result<std::string>> read(StopToken) override { co_return std::string(); }
};

}  // namespace

Task<Result<ApiResponse>> serve_scale(ServerParts& parts, const ApiRequest& request, StopToken stop) {
  if (request.verb == Verb::kGet) {
    auto found = co_await serve_get(parts, request, stop);
    if (!found) co_return found.error();
    co_return scale_answer(found->object);
  }
  const Expected expected = scale_expected();
  Change wanted = request.verb == Verb::kUpdate ? put_scale(request) : patch_change(request, expected, nullptr);
  UpdatePlan plan;
  plan.subresource = "scale";
  plan.change = scale_change(request, std::move(wanted));
  std::vector<std::string> warnings;
  auto written = co_await update_object(parts, request, plan, warnings, stop);
  if (!written) co_return written.error();
  ApiResponse response = scale_answer(written->object);
  response.revision = written->revision;
  response.warnings = std::move(warnings);
  co_return response;
}

Task<Result<ApiResponse>> serve_binding(ServerParts& parts, const ApiRequest& request, StopToken stop) {
  ApiResponse response;
  const Expected expected{"", "v1", "Binding", find_message("v1", "Binding")};
  auto document = decode_document(expected, request.body, request.duplicate_fields, request.write.field_validation,
                                  response.warnings);
  if (!document) co_return document.error();
  auto binding = read_binding(request, *document);
  if (!binding) co_return binding.error();
  ApiRequest of_pod;
  of_pod.verb = Verb::kUpdate;
  of_pod.kind = &kinds::pods();
  of_pod.namespace_ = request.namespace_;
  of_pod.name = binding->pod;
  of_pod.user = request.user;
  of_pod.user_agent = request.user_agent;
  of_pod.write = request.write;
  UpdatePlan plan;
  plan.subresource = "binding";
  plan.direct = true;
  const WallTime now = parts.context.clock.wall();
  plan.change = [&](const json::Value& old, std::vector<std::string>&) { return bound_pod(old, *binding, now); };
  auto written = co_await update_object(parts, of_pod, plan, response.warnings, stop);
  if (!written) co_return written.error();
  response.status = 201;
  response.revision = written->revision;
  DocumentAnswer answer;
  answer.document = created_document();
  answer.message = find_message("v1", "Status");
  response.document = std::move(answer);
  co_return response;
}

Task<Result<ApiResponse>> serve_log(ServerParts& parts, const ApiRequest& request, StopToken stop) {
  ApiRequest of_pod;
  of_pod.kind = request.kind;
  of_pod.namespace_ = request.namespace_;
  of_pod.name = request.name;
  auto found = co_await serve_get(parts, of_pod, stop);
  if (!found) co_return found.error();
  LogOptions options = request.log;
  const json::Document pod = found->object->document();
  auto container = choose_container(*pod, request.name, options.container);
  if (!container) co_return container.error();
  options.container = std::move(*container);
  ApiResponse response;
  if (text_at(*pod, {"spec", "nodeName"}).empty()) {
    response.stream = std::make_unique<NoBytes>();  // a pod that no node has yet has no logs, which is no error
    co_return response;
  }
  if (!parts.log_hook) {
    co_return Error(Code::kUnavailable, "this server runs no node agent that could serve the logs", StatusDetails());
  }
  auto stream = co_await parts.log_hook(found->object, std::move(options), stop);
  if (!stream) co_return stream.error();
  response.stream = std::move(*stream);
  co_return response;
}

}  // namespace kayak::api
