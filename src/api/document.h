// document.h: small readers and writers for the parts of an object document that every kind has.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace kayak::api {

// metadata.<name> as text, "" when absent.
std::string_view meta_text(const json::Value& document, std::string_view name);
const json::Value* meta_find(const json::Value& document, std::string_view name);
json::Value& metadata_of(json::Value& document);  // made when absent
void erase_meta(json::Value& document, std::string_view name);
std::int64_t generation_of(const json::Value& document);
std::vector<std::string> meta_list(const json::Value& document, std::string_view name);
void set_finalizers(json::Value& document, const std::vector<std::string>& finalizers);
bool is_deleting(const json::Value& document);
// metadata.deletionGracePeriodSeconds.
std::optional<std::int64_t> deletion_grace(const json::Value& document);

// `to`.<name> becomes `from`.<name>, absent when it is absent there.
void copy_member(json::Value& to, const json::Value& from, std::string_view name);
void erase_member(json::Value& value, std::string_view name);
// Deep equality of a member; absent, null and empty are three things, as upstream's comparison has them.
bool same_member(const json::Value& a, const json::Value& b, std::string_view name);
// Text at a path of members, "" when absent.
std::string_view text_at(const json::Value& value, std::initializer_list<std::string_view> path);

}  // namespace kayak::api
