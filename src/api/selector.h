// selector.h: label and field selectors as values.
// Source: apimachinery pkg/labels, pkg/fields, metav1.LabelSelector.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace kayak::api {

using LabelPairs = std::vector<std::pair<std::string, std::string>>;  // sorted by key

struct Requirement {
  enum class Op : std::uint8_t { kIn, kNotIn, kExists, kNotExists, kGreater, kLess };
  std::string key;
  Op op = Op::kIn;
  std::vector<std::string> values;
  bool equality = false;  // kIn or kNotIn of one value that was written as = or !=, and prints so
};

class LabelSelector {
 public:
  LabelSelector() = default;  // matches everything
  static LabelSelector nothing();
  // The query form: "a=b,c!=d,e in (f,g),!h". Errors: BadRequest with upstream's wording.
  static Result<LabelSelector> parse(std::string_view text);
  // metav1.LabelSelector {matchLabels, matchExpressions}; null matches nothing, {} everything. Errors: Invalid with
  // upstream's wording.
  static Result<LabelSelector> from_object(const json::Value* selector);
  static LabelSelector equals(const LabelPairs& labels);
  void add(Requirement requirement) { requirements_.push_back(std::move(requirement)); }
  bool matches(const LabelPairs& labels) const;
  bool empty() const { return requirements_.empty() && !nothing_; }
  const std::vector<Requirement>& requirements() const { return requirements_; }
  std::string to_string() const;

 private:
  bool nothing_ = false;
  std::vector<Requirement> requirements_;
};

class FieldSelector {
 public:
  FieldSelector() = default;
  // "metadata.name=x,status.phase!=Running". Errors: BadRequest with upstream's wording.
  static Result<FieldSelector> parse(std::string_view text);
  static FieldSelector equals(std::string field, std::string value);
  // `values` must hold every field the selector names (check with fields()).
  bool matches(const std::vector<std::pair<std::string, std::string>>& values) const;
  bool empty() const { return terms_.empty(); }
  struct Term {
    std::string field, value;
    bool equal = true;
  };
  void add(Term term) { terms_.push_back(std::move(term)); }
  const std::vector<Term>& terms() const { return terms_; }

 private:
  std::vector<Term> terms_;
};

}  // namespace kayak::api
