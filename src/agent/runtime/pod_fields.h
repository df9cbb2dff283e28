// pod_fields.h: what this node does with each field of a PodSpec: honoured, harmless or refused. Pure.
// A pod that sets a refused field to more than its default does not start: waiting with CreateContainerConfigError and
// a message that names the field. A field that is not in the table is refused, too; a test walks the schema so that
// none is missing. Honouring one more field is moving it to another column, in the commit that implements it.
// Source: core/v1 PodSpec and what hangs from it (v1.36).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/runtime/runtime.h"
#include "base/json.h"

namespace kayak::agent {

// The fields of one message, each in one column, separated by spaces, as JSON has them (inline messages flattened).
struct PodFieldsRow {
  std::string_view message;   // short name: "PodSpec"
  std::string_view honoured;  // "field", or "field:Message" when the message has a row of its own
  std::string_view harmless;  // means nothing to the node, or asks for less than it gives
  std::string_view refused;   // "field", or "field=a|b" when these values are fine
};
std::span<const PodFieldsRow> pod_fields();

enum class Treatment : std::uint8_t { kHonoured, kHarmless, kRefused };
struct PodFieldRule {
  Treatment treatment = Treatment::kRefused;
  std::string_view child;    // message of an honoured message field with a row of its own
  std::string_view allowed;  // of a refused field: values that are fine, separated by '|'
};
// Null when the table has no such message or field.
std::optional<PodFieldRule> pod_field_rule(std::string_view message, std::string_view field);

// JSON paths of what the pod asks for and does not get, e.g. "spec.containers[0].livenessProbe".
std::vector<std::string> refused_fields(const json::Value& pod);

// sysctls that every pod may set, as upstream's.
bool is_safe_sysctl(std::string_view name);
// Errors as a Refusal: SysctlForbidden with upstream's message, or a name or value that is no such thing
// (CVE-2022-0811).
std::optional<Refusal> check_sysctls(const json::Value& pod, const std::vector<std::string>& allowed_unsafe);

// All of the above: null when the pod can run.
std::optional<Refusal> check_pod_fields(const json::Value& pod, const RuntimeOptions& options);

}  // namespace kayak::agent
