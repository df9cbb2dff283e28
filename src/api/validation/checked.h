// checked.h: a field under validation: what it holds, where it is, and where its errors go; and the checks that many
// rules share.
// Paths are spelled out only for an error, as most fields are right and every write passes here.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <span>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "api/validation/field.h"
#include "api/validation/names.h"
#include "base/json.h"

namespace kayak::api::validation {

using Choices = std::initializer_list<std::string_view>;

// Points at its parent: a Checked lives no longer than the one that it was taken from, hence no chains of [].
class Checked {
 public:
  // The object itself.
  Checked(const json::Value& object, field::ErrorList& errors) : value_(&object), errors_(&errors) {}

  Checked operator[](std::string_view member) const&;  // of an object; absent when there is none
  Checked operator[](std::string_view member) const&& = delete;
  Checked item(std::size_t index) const&;  // of a list
  Checked item(std::size_t index) const&& = delete;
  Checked entry(std::string_view key) const&;  // of a map: its path reads labels[app]
  Checked entry(std::string_view key) const&& = delete;
  Checked entry(std::string_view key, const json::Value& value) const&;  // of a map that holds this
  Checked entry(std::string_view key, const json::Value& value) const&& = delete;

  // A member that messages name so, while the document keeps it elsewhere.
  Checked as(std::string_view member, const json::Value* value) const&;
  Checked as(std::string_view member, const json::Value* value) const&& = delete;

  bool present() const { return value_ != nullptr; }  // neither absent nor null
  const json::Value* get() const { return value_; }   // null when not present
  const json::Value& value() const;                   // JSON null when not present
  std::string_view text() const { return value_ == nullptr ? std::string_view() : value_->string_or(); }
  std::int64_t number(std::int64_t fallback = 0) const {
    return value_ == nullptr ? fallback : value_->int_or(fallback);
  }
  bool flag() const { return value_ != nullptr && value_->bool_or(false); }
  std::size_t size() const;  // items of a list, members of a map
  bool empty() const { return size() == 0 && text().empty(); }
  field::Path path() const;
  field::ErrorList& errors() const { return *errors_; }

  void required(std::string_view detail = "") const;
  void invalid(std::string_view detail) const { invalid(value(), detail); }
  void invalid(const json::Value& shown, std::string_view detail) const;
  void invalid_omitting_value(std::string_view detail) const;
  void invalid_each(const Messages& messages) const { invalid_each(value(), messages); }
  void invalid_each(const json::Value& shown, const Messages& messages) const;
  void not_supported(Choices supported) const { not_supported(std::span(supported.begin(), supported.size())); }
  void not_supported(std::span<const std::string_view> supported) const;
  void forbidden(std::string_view detail) const;
  void duplicate() const { duplicate(value()); }
  void duplicate(const json::Value& shown) const;
  void too_long(std::size_t max_bytes) const;
  void too_many(std::size_t max_items) const;

 private:
  enum class Step : std::uint8_t { kRoot, kMember, kItem, kEntry };
  Checked(const json::Value* value, const Checked& parent, Step step, std::string_view name, std::size_t index);

  const json::Value* value_ = nullptr;
  const Checked* parent_ = nullptr;
  field::ErrorList* errors_;
  std::string_view name_;
  std::size_t index_ = 0;
  Step step_ = Step::kRoot;
};

template <typename Body>
void each_item(const Checked& list, Body body) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Checked item = list.item(i);
    body(item);
  }
}
template <typename Body>
void each_entry(const Checked& map, Body body) {
  if (!map.present() || !map.value().is_object()) return;
  for (const auto& [key, value] : map.value().as_object()) {
    const Checked entry = map.entry(key, value);
    body(std::string_view(key), entry);
  }
}

bool contains(Choices choices, std::string_view value);
// Texts seen so far. Lists come from outside and may be as long as a request: searching one for each of its items would
// hold up the server.
class Seen {
 public:
  bool add(std::string_view text);  // false when it was there already
  bool has(std::string_view text) const;

 private:
  std::vector<std::string_view> few_;
  std::unordered_set<std::string_view> many_;  // once they are more than a few
};
// Which items of a list have the text (at `member`, when that is given) of an earlier one.
class Repeats {
 public:
  explicit Repeats(const Checked& list, std::string_view member = "");
  bool operator[](std::size_t index) const { return index < repeated_.size() && repeated_[index]; }
  bool any() const { return !repeated_.empty(); }

 private:
  std::vector<bool> repeated_;  // empty: none
};
// As upstream's semantic equality: absent and null are the same.
bool same_value(const json::Value* a, const json::Value* b);
bool same_member(const json::Value& object, const json::Value& old, std::initializer_list<std::string_view> path);
const json::Value& empty_object();
// The member as an object, for what upstream keeps as a plain struct: never missing.
const json::Value& object_at(const json::Value& object, std::string_view member);

// Whether the object's status.conditions has one of this type and status.
bool has_condition(const json::Value& object, std::string_view type, std::string_view status);

// ---- checks
void check_non_negative(const Checked& field);
void check_at_most(const Checked& field, const Checked& limit, std::string_view detail);
// "field is immutable" when it differs from `old`.
void check_immutable(const Checked& field, const json::Value* old);
// Each message of `rule` about the text.
void check_name(const Checked& field, Messages (*rule)(std::string_view));
// Required, then the rule.
void check_required_name(const Checked& field, Messages (*rule)(std::string_view));
// Not supported unless it is one of them.
void check_choice(const Checked& field, Choices choices);
void check_label_selector(const Checked& selector);
void check_labels(const Checked& labels);
// metav1.Condition: types are unique, and each is well formed.
void check_conditions(const Checked& conditions);
// "acme.io/foo".
void check_domain_prefixed_path(const Checked& field);
// A name of three segments or more: "a.b.c".
void check_fully_qualified_name(const Checked& field);
// CSI drivers: at most 63 bytes of a DNS subdomain in any case.
void check_csi_driver_name(const Checked& field);

// ---- int-or-percent
void check_int_or_percent(const Checked& field);
void check_at_most_100_percent(const Checked& field);
std::int64_t int_or_percent_value(const Checked& field);  // 5 of 5 and of "5%"

// -1, 0 or 1 of a quantity or a number; 1 when it cannot be read, as decoding has refused that already.
int quantity_sign(const Checked& field);

enum class SelectorMatch : std::uint8_t { kInvalid, kNo, kYes };
// A metav1.LabelSelector against a map of labels; an absent selector matches nothing, an empty one everything.
SelectorMatch selector_matches(const json::Value* selector, const json::Value* labels);
bool selector_is_empty(const json::Value& selector);

}  // namespace kayak::api::validation
