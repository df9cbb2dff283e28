// checked.cc: see checked.h.
#include "api/validation/checked.h"

#include "api/validation/validation.h"
#include "base/quantity.h"
#include "base/strings.h"

namespace kayak::api::validation {

namespace {

const json::Value& null_value() {
  static const json::Value null;
  return null;
}

const json::Value* unless_null(const json::Value* value) {
  return value == nullptr || value->is_null() ? nullptr : value;
}

// Canonical maps are sorted; the few labels that we put together here are not.
const json::Value* find_label(const json::Value* labels, std::string_view key) {
  constexpr std::size_t kMany = 16;
  if (labels == nullptr || !labels->is_object()) return nullptr;
  const std::vector<json::Member>& members = labels->as_object().members();
  if (members.size() < kMany) return labels->find(key);
  const auto found = std::lower_bound(members.begin(), members.end(), key,
                                      [](const json::Member& member, std::string_view k) { return member.first < k; });
  return found != members.end() && found->first == key ? &found->second : nullptr;
}

std::string_view label_of(const json::Value* labels, std::string_view key, bool* found) {
  const json::Value* value = find_label(labels, key);
  *found = value != nullptr;
  return value == nullptr ? std::string_view() : value->string_or();
}

bool key_is_valid(std::string_view key) { return qualified_name(key).empty(); }

SelectorMatch match_requirement(const json::Value& requirement, const json::Value* labels) {
  const json::Value* key_value = requirement.find("key");
  const json::Value* operator_value = requirement.find("operator");
  const json::Value* values = unless_null(requirement.find("values"));
  const std::string_view key = key_value == nullptr ? "" : key_value->string_or();
  const std::string_view op = operator_value == nullptr ? "" : operator_value->string_or();
  const std::size_t count = values != nullptr && values->is_array() ? values->as_array().size() : 0;
  const bool is_set_operator = op == "In" || op == "NotIn";
  if (!is_set_operator && op != "Exists" && op != "DoesNotExist") return SelectorMatch::kInvalid;
  if (is_set_operator == (count == 0) || !key_is_valid(key)) return SelectorMatch::kInvalid;
  bool found = false;
  const std::string_view label = label_of(labels, key, &found);
  bool among = false;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view value = values->as_array()[i].string_or();
    if (!label_value(value).empty()) return SelectorMatch::kInvalid;
    among = among || (found && value == label);
  }
  const bool matches = op == "In" ? among : op == "NotIn" ? !among : op == "Exists" ? found : !found;
  return matches ? SelectorMatch::kYes : SelectorMatch::kNo;
}

void check_condition(const Checked& condition) {
  check_name(condition["type"], qualified_name);
  check_choice(condition["status"], {"False", "True", "Unknown"});
  const Checked generation = condition["observedGeneration"];
  if (generation.number() < 0) generation.invalid("must be greater than or equal to zero");
  const Checked changed = condition["lastTransitionTime"];
  if (!changed.present()) changed.required();
  const Checked reason = condition["reason"];
  check_required_name(reason, condition_reason);
  constexpr std::size_t kMaxReason = 1024, kMaxMessage = 32 * 1024;
  if (reason.text().size() > kMaxReason) reason.too_long(kMaxReason);
  const Checked message = condition["message"];
  if (message.text().size() > kMaxMessage) message.too_long(kMaxMessage);
}

}  // namespace

Checked::Checked(const json::Value* value, const Checked& parent, Step step, std::string_view name, std::size_t index)
    : value_(unless_null(value)), parent_(&parent), errors_(parent.errors_), name_(name), index_(index), step_(step) {}

Checked Checked::operator[](std::string_view member) const& {
  return Checked(value_ == nullptr ? nullptr : value_->find(member), *this, Step::kMember, member, 0);
}
Checked Checked::entry(std::string_view key, const json::Value& value) const& {
  return Checked(&value, *this, Step::kEntry, key, 0);
}
Checked Checked::as(std::string_view member, const json::Value* value) const& {
  return Checked(value, *this, Step::kMember, member, 0);
}
Checked Checked::item(std::size_t index) const& {
  return Checked(index < size() ? &value_->as_array()[index] : nullptr, *this, Step::kItem, "", index);
}
Checked Checked::entry(std::string_view key) const& {
  return Checked(value_ == nullptr ? nullptr : value_->find(key), *this, Step::kEntry, key, 0);
}

const json::Value& Checked::value() const { return value_ == nullptr ? null_value() : *value_; }

std::size_t Checked::size() const {
  if (value_ == nullptr) return 0;
  if (value_->is_array()) return value_->as_array().size();
  return value_->is_object() ? value_->as_object().size() : 0;
}

field::Path Checked::path() const {
  switch (step_) {
    case Step::kRoot:
      return field::Path();
    case Step::kMember:
      return parent_->path().child(name_);
    case Step::kItem:
      return parent_->path().index(index_);
    case Step::kEntry:
      return parent_->path().key(name_);
  }
  return field::Path();
}

void Checked::required(std::string_view detail) const { errors_->push_back(field::required(path(), detail)); }
void Checked::invalid(const json::Value& shown, std::string_view detail) const {
  errors_->push_back(field::invalid(path(), shown, detail));
}
void Checked::invalid_omitting_value(std::string_view detail) const {
  errors_->push_back(field::invalid_omitting_value(path(), detail));
}
void Checked::invalid_each(const json::Value& shown, const Messages& messages) const {
  if (!messages.empty()) field::append_invalid(*errors_, path(), shown, messages);
}
void Checked::not_supported(std::span<const std::string_view> supported) const {
  const json::Value empty("");
  errors_->push_back(field::not_supported(path(), present() ? value() : empty, supported));
}
void Checked::forbidden(std::string_view detail) const { errors_->push_back(field::forbidden(path(), detail)); }
void Checked::duplicate(const json::Value& shown) const { errors_->push_back(field::duplicate(path(), shown)); }
void Checked::too_long(std::size_t max_bytes) const { errors_->push_back(field::too_long(path(), max_bytes)); }
void Checked::too_many(std::size_t max_items) const { errors_->push_back(field::too_many(path(), size(), max_items)); }

bool contains(Choices choices, std::string_view value) {
  return std::find(choices.begin(), choices.end(), value) != choices.end();
}

bool Seen::has(std::string_view text) const {
  return std::find(few_.begin(), few_.end(), text) != few_.end() || (!many_.empty() && many_.count(text) > 0);
}

bool Seen::add(std::string_view text) {
  constexpr std::size_t kFew = 16;
  if (has(text)) return false;
  if (few_.size() < kFew) {
    few_.push_back(text);
  } else {
    many_.insert(text);
  }
  return true;
}

Repeats::Repeats(const Checked& list, std::string_view member) {
  if (list.size() < 2 || !list.value().is_array()) return;
  Seen seen;
  const json::Array& items = list.value().as_array();
  for (std::size_t i = 0; i < items.size(); ++i) {
    const json::Value* value = member.empty() ? &items[i] : items[i].find(member);
    if (seen.add(value == nullptr ? std::string_view() : value->string_or())) continue;
    if (repeated_.empty()) repeated_.resize(items.size());
    repeated_[i] = true;
  }
}

bool same_value(const json::Value* a, const json::Value* b) {
  a = unless_null(a);
  b = unless_null(b);
  if (a == nullptr || b == nullptr) return a == b;
  return *a == *b;
}

bool same_member(const json::Value& object, const json::Value& old, std::initializer_list<std::string_view> path) {
  return same_value(object.at(path), old.at(path));
}

const json::Value& empty_object() {
  static const json::Value empty{json::Object()};
  return empty;
}

const json::Value& object_at(const json::Value& object, std::string_view member) {
  const json::Value* value = object.find(member);
  return value != nullptr && value->is_object() ? *value : empty_object();
}

bool has_condition(const json::Value& object, std::string_view type, std::string_view status) {
  const json::Value* conditions = object.at({"status", "conditions"});
  if (conditions == nullptr || !conditions->is_array()) return false;
  const json::Array& list = conditions->as_array();
  return std::any_of(list.begin(), list.end(), [&](const json::Value& condition) {
    const json::Value* own_type = condition.find("type");
    const json::Value* own_status = condition.find("status");
    return own_type != nullptr && own_type->string_or() == type && own_status != nullptr &&
           own_status->string_or() == status;
  });
}

void check_non_negative(const Checked& field) {
  if (field.number() < 0) field.invalid("must be greater than or equal to 0");
}

void check_at_most(const Checked& field, const Checked& limit, std::string_view detail) {
  if (field.number() > limit.number()) field.invalid(detail);
}

void check_immutable(const Checked& field, const json::Value* old) {
  if (!same_value(field.get(), old)) field.invalid("field is immutable");
}

void check_name(const Checked& field, Messages (*rule)(std::string_view)) {
  const json::Value empty("");
  field.invalid_each(field.present() ? field.value() : empty, rule(field.text()));
}

void check_required_name(const Checked& field, Messages (*rule)(std::string_view)) {
  if (field.text().empty()) {
    field.required();
  } else {
    field.invalid_each(rule(field.text()));
  }
}

void check_choice(const Checked& field, Choices choices) {
  if (!contains(choices, field.text())) field.not_supported(choices);
}

void check_label_selector(const Checked& selector) {
  if (selector.present()) validate_label_selector(selector.get(), selector.path(), selector.errors());
}

void check_labels(const Checked& labels) {
  if (labels.present()) validate_labels(labels.get(), labels.path(), labels.errors());
}

void check_conditions(const Checked& conditions) {
  const Repeats repeated(conditions, "type");
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    const Checked condition = conditions.item(i);
    if (repeated[i]) condition["type"].duplicate();
    check_condition(condition);
  }
}

void check_domain_prefixed_path(const Checked& field) {
  const std::string_view text = field.text();
  if (text.empty()) return field.required();
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == text.size()) {
    return field.invalid("must be a domain-prefixed path (such as \"acme.io/foo\")");
  }
  field.invalid_each(text.substr(0, slash), dns1123_subdomain(text.substr(0, slash)));
  const std::string_view path = text.substr(slash + 1);
  const auto allowed = [](char c) {
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') ||
           std::string_view("/-._~%!$&'()*+,;=:").find(c) != std::string_view::npos;
  };
  if (!std::all_of(path.begin(), path.end(), allowed)) {
    field.invalid(path, regex_message("Invalid path", "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+"));
  }
}

void check_fully_qualified_name(const Checked& field) {
  const std::string_view text = field.text();
  if (text.empty()) return field.required();
  if (const Messages messages = dns1123_subdomain(text); !messages.empty()) {
    return field.invalid(join(messages, ","));
  }
  if (std::count(text.begin(), text.end(), '.') < 2) {
    field.invalid("should be a domain with at least three segments separated by dots");
  }
}

void check_csi_driver_name(const Checked& field) {
  constexpr std::size_t kMaxName = 63;
  if (field.text().empty()) return field.required();
  if (field.text().size() > kMaxName) field.too_long(kMaxName);
  field.invalid_each(dns1123_subdomain(to_lower(field.text())));
}

void check_int_or_percent(const Checked& field) {
  if (field.value().is_string()) {
    field.invalid_each(percent(field.text()));
  } else {
    check_non_negative(field);
  }
}

namespace {
bool percent_value(const Checked& field, std::int64_t* value) {
  if (!field.value().is_string() || !percent(field.text()).empty()) return false;
  const std::string_view digits = field.text().substr(0, field.text().size() - 1);
  if (!parse_int64(digits, value)) *value = INT64_MAX;
  return true;
}
}  // namespace

void check_at_most_100_percent(const Checked& field) {
  std::int64_t value = 0;
  if (percent_value(field, &value) && value > 100) field.invalid("must not be greater than 100%");
}

std::int64_t int_or_percent_value(const Checked& field) {
  std::int64_t value = 0;
  if (percent_value(field, &value)) return value;
  if (field.value().is_string()) return parse_int64(field.text(), &value) ? value : 0;
  return field.number();
}

int quantity_sign(const Checked& field) {
  if (field.value().is_int()) return field.number() < 0 ? -1 : field.number() > 0;
  const Result<Quantity> quantity = Quantity::parse(field.text());
  return quantity ? quantity->sign() : 1;
}

SelectorMatch selector_matches(const json::Value* selector, const json::Value* labels) {
  if (unless_null(selector) == nullptr) return SelectorMatch::kNo;
  bool matches = true;
  if (const json::Value* wanted = selector->find("matchLabels"); wanted != nullptr && wanted->is_object()) {
    for (const auto& [key, value] : wanted->as_object()) {
      if (!key_is_valid(key) || !label_value(value.string_or()).empty()) return SelectorMatch::kInvalid;
      bool found = false;
      const std::string_view label = label_of(labels, key, &found);
      matches = matches && found && label == value.string_or();
    }
  }
  if (const json::Value* expressions = selector->find("matchExpressions");
      expressions != nullptr && expressions->is_array()) {
    for (const json::Value& expression : expressions->as_array()) {
      const SelectorMatch match = match_requirement(expression, labels);
      if (match == SelectorMatch::kInvalid) return match;
      matches = matches && match == SelectorMatch::kYes;
    }
  }
  return matches ? SelectorMatch::kYes : SelectorMatch::kNo;
}

bool selector_is_empty(const json::Value& selector) {
  const json::Value* labels = selector.find("matchLabels");
  const json::Value* expressions = selector.find("matchExpressions");
  return (labels == nullptr || !labels->is_object() || labels->as_object().empty()) &&
         (expressions == nullptr || !expressions->is_array() || expressions->as_array().empty());
}

}  // namespace kayak::api::validation
