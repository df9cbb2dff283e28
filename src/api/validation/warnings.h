// warnings.h: what is accepted but unwise: Warning headers of a write that validation let through.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/kind.h"
#include "api/validation/field.h"
#include "base/json.h"

namespace kayak::api::validation {

class Checked;

void warn_create(const Kind& kind, const json::Value& object, std::vector<std::string>& warnings);
void warn_update(const Kind& kind, const json::Value& object, const json::Value& old,
                 std::vector<std::string>& warnings);

// Of the core group, but for pods and templates; core_warnings.cc. `old`: null for a new object.
void warn_core(const Kind& kind, const json::Value& object, const json::Value* old, std::vector<std::string>& warnings);
// Of the kinds outside the core group; kind_warnings.cc.
void warn_kind_create(const Kind& kind, const json::Value& object, std::vector<std::string>& warnings);
void warn_kind_update(const Kind& kind, const json::Value& object, const json::Value& old,
                      std::vector<std::string>& warnings);
// "deprecated since v1.14; use ... instead", of a node's label that has another name now; "" of all others.
std::string_view deprecated_label(std::string_view key);
// Labels of nodes that have other names now, in a selector or in a term of one.
void warn_node_selector(const Checked& selector, std::vector<std::string>& warnings);
// Addresses and ranges that are not in the one form that all programs read alike.
std::string ip_warning(std::string_view text);  // empty: nothing to say
void warn_ip(const Checked& field, std::vector<std::string>& warnings);
void warn_cidr(const Checked& field, std::vector<std::string>& warnings);
// Bytes that are no whole number, in a claim's spec.
void warn_claim_quantities(const json::Value& spec, const field::Path& path, std::vector<std::string>& warnings);

}  // namespace kayak::api::validation
