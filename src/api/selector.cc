// selector.cc: see selector.h.
// The query grammar as upstream's: tokens first, then requirements, so that errors name the token that is wrong.
#include "api/selector.h"

#include <algorithm>
#include <cstdint>

#include "api/validation/field.h"
#include "api/validation/names.h"
#include "base/strings.h"

namespace kayak::api {

namespace {

// No selector of a real client comes near; it bounds what a hostile one costs.
constexpr std::size_t kMaxSelectorBytes = 64 * 1024;

Error bad_request(std::string message) { return Error(Code::kBadRequest, std::move(message)); }

void sort_by_key(std::vector<Requirement>& requirements) {
  std::stable_sort(requirements.begin(), requirements.end(),
                   [](const Requirement& a, const Requirement& b) { return a.key < b.key; });
}

void add_joined(field::ErrorList& errors, const field::Path& path, std::string_view value,
                const validation::Messages& messages) {
  if (!messages.empty()) errors.push_back(field::invalid(path, value, join(messages, "; ")));
}

// What is wrong with a requirement, as one text; empty when nothing is.
std::string requirement_problem(const Requirement& requirement) {
  field::ErrorList errors;
  const field::Path values("values");
  add_joined(errors, field::Path("key"), requirement.key, validation::qualified_name(requirement.key));
  const auto shown = [&] {
    json::Array array(requirement.values.begin(), requirement.values.end());
    return json::Value(std::move(array));
  };
  switch (requirement.op) {
    case Requirement::Op::kIn:
    case Requirement::Op::kNotIn:
      if (requirement.values.empty()) {
        errors.push_back(field::invalid(values, shown(), "for 'in', 'notin' operators, values set can't be empty"));
      }
      break;
    case Requirement::Op::kExists:
    case Requirement::Op::kNotExists:
      if (!requirement.values.empty()) {
        errors.push_back(field::invalid(values, shown(), "values set must be empty for exists and does not exist"));
      }
      break;
    case Requirement::Op::kGreater:
    case Requirement::Op::kLess:
      for (std::size_t i = 0; i < requirement.values.size(); ++i) {
        std::int64_t number = 0;
        if (parse_int64(requirement.values[i], &number)) continue;
        errors.push_back(field::invalid(values.index(i), requirement.values[i],
                                        "for 'Gt', 'Lt' operators, the value must be an integer"));
      }
      break;
  }
  for (std::size_t i = 0; i < requirement.values.size(); ++i) {
    add_joined(errors, values.index(i).key(requirement.key), requirement.values[i],
               validation::label_value(requirement.values[i]));
  }
  return errors.empty() ? "" : field::aggregate(errors);
}

// --- the query form ---

enum class TokenType : std::uint8_t {
  kEnd,
  kError,
  kWord,
  kIn,
  kNotIn,
  kOpen,
  kClose,
  kComma,
  kNot,
  kEquals,
  kDoubleEquals,
  kNotEquals,
  kGreater,
  kLess,
};
struct Token {
  TokenType type;
  std::string text;  // as errors show it
};

struct Symbol {
  std::string_view text;
  TokenType type;
};
constexpr Symbol kSymbols[] = {
    {")", TokenType::kClose},         {",", TokenType::kComma},      {"!", TokenType::kNot},
    {"==", TokenType::kDoubleEquals}, {"=", TokenType::kEquals},     {">", TokenType::kGreater},
    {"<", TokenType::kLess},          {"!=", TokenType::kNotEquals}, {"(", TokenType::kOpen},
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_symbol(char c) { return std::string_view("=!(),><").find(c) != std::string_view::npos; }

// A NUL ends the text, as it does for upstream.
std::vector<Token> tokens_of(std::string_view text) {
  text = text.substr(0, text.find('\0'));
  std::vector<Token> tokens;
  while (!text.empty()) {
    if (is_space(text.front())) {
      text.remove_prefix(1);
      continue;
    }
    const Symbol* longest = nullptr;
    for (const Symbol& symbol : kSymbols) {
      if (text.starts_with(symbol.text) && (longest == nullptr || symbol.text.size() > longest->text.size())) {
        longest = &symbol;
      }
    }
    if (longest != nullptr) {
      tokens.push_back(Token{longest->type, std::string(longest->text)});
      text.remove_prefix(longest->text.size());
      continue;
    }
    std::size_t size = 0;
    while (size < text.size() && !is_space(text[size]) && !is_symbol(text[size])) ++size;
    const std::string_view word = text.substr(0, size);
    const TokenType type = word == "in" ? TokenType::kIn : word == "notin" ? TokenType::kNotIn : TokenType::kWord;
    tokens.push_back(Token{type, std::string(word)});
    text.remove_prefix(size);
  }
  tokens.push_back(Token{TokenType::kEnd, ""});
  return tokens;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : tokens_(tokens_of(text)) {}

  Result<std::vector<Requirement>> parse() {
    std::vector<Requirement> requirements;
    for (;;) {
      if (peek().type == TokenType::kEnd) return requirements;
      if (!at_word() && peek().type != TokenType::kNot) {
        return bad_request(cat("found '", peek().text, "', expected: !, identifier, or 'end of string'"));
      }
      Result<Requirement> requirement = read_requirement();
      if (!requirement) return requirement.error().while_doing("unable to parse requirement");
      requirements.push_back(std::move(*requirement));
      const Token next = take();
      if (next.type == TokenType::kEnd) return requirements;
      if (next.type != TokenType::kComma) {
        return bad_request(cat("found '", next.text, "', expected: ',' or 'end of string'"));
      }
      if (!at_word() && peek().type != TokenType::kNot) {
        return bad_request(cat("found '", peek().text, "', expected: identifier after ','"));
      }
    }
  }

 private:
  const Token& peek() const { return tokens_[position_]; }
  // The end is never left.
  Token take() { return peek().type == TokenType::kEnd ? peek() : tokens_[position_++]; }
  // "in" and "notin" are words where no operator can be.
  bool at_word() const {
    return peek().type == TokenType::kWord || peek().type == TokenType::kIn || peek().type == TokenType::kNotIn;
  }
  bool at_requirement_end() const { return peek().type == TokenType::kEnd || peek().type == TokenType::kComma; }

  Result<Requirement> read_requirement() {
    Requirement requirement;
    const bool negated = peek().type == TokenType::kNot;
    if (negated) take();
    if (!at_word()) return bad_request(cat("found '", peek().text, "', expected: identifier"));
    requirement.key = take().text;
    const validation::Messages messages = validation::qualified_name(requirement.key);
    if (!messages.empty()) {
      return bad_request(field::invalid(field::Path(), requirement.key, join(messages, "; ")).message());
    }
    if (negated) {
      requirement.op = Requirement::Op::kNotExists;
      return requirement;
    }
    if (at_requirement_end()) {
      requirement.op = Requirement::Op::kExists;
      return requirement;
    }
    const Result<void> read = read_operator_and_values(&requirement);
    if (!read) return read.error();
    std::string problem = requirement_problem(requirement);
    if (!problem.empty()) return bad_request(std::move(problem));
    return requirement;
  }

  Result<void> read_operator_and_values(Requirement* requirement) {
    const Token token = take();
    switch (token.type) {
      case TokenType::kEquals:
      case TokenType::kDoubleEquals:
      case TokenType::kNotEquals:
        requirement->op = token.type == TokenType::kNotEquals ? Requirement::Op::kNotIn : Requirement::Op::kIn;
        requirement->equality = true;
        return read_exact_value(requirement);
      case TokenType::kGreater:
      case TokenType::kLess:
        requirement->op = token.type == TokenType::kGreater ? Requirement::Op::kGreater : Requirement::Op::kLess;
        return read_exact_value(requirement);
      case TokenType::kIn:
      case TokenType::kNotIn:
        requirement->op = token.type == TokenType::kIn ? Requirement::Op::kIn : Requirement::Op::kNotIn;
        return read_values(requirement);
      default:
        return bad_request(cat("found '", token.text, "', expected: in, notin, =, ==, !=, gt, lt"));
    }
  }

  Result<void> read_exact_value(Requirement* requirement) {
    if (at_requirement_end()) {
      requirement->values = {""};
    } else if (at_word()) {
      requirement->values = {take().text};
    } else {
      return bad_request(cat("found '", peek().text, "', expected: identifier"));
    }
    return {};
  }

  // "(a,,b)": an empty place is the empty value.
  Result<void> read_values(Requirement* requirement) {
    if (peek().type != TokenType::kOpen) return bad_request(cat("found '", peek().text, "' expected: '('"));
    take();
    if (!at_word() && peek().type != TokenType::kComma && peek().type != TokenType::kClose) {
      return bad_request(cat("found '", peek().text, "', expected: ',', ')' or identifier"));
    }
    std::vector<std::string>& values = requirement->values;
    for (bool over = false; !over;) {
      values.push_back(at_word() ? take().text : "");
      const Token token = peek();
      over = token.type == TokenType::kClose;
      if (!over && token.type != TokenType::kComma) {
        const bool after_word = !values.back().empty();
        return bad_request(
            cat("found '", token.text, after_word ? "', expected: ',' or ')'" : "', expected: ',', or identifier"));
      }
      take();
    }
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    return {};
  }

  std::vector<Token> tokens_;
  std::size_t position_ = 0;
};

// --- metav1.LabelSelector ---

Result<Requirement> expression_requirement(const json::Value& expression) {
  Requirement requirement;
  const json::Value* key = expression.find("key");
  const json::Value* op = expression.find("operator");
  const json::Value* values = expression.find("values");
  requirement.key = key == nullptr ? "" : key->string_or();
  const std::string_view name = op == nullptr ? "" : op->string_or();
  if (name == "In") {
    requirement.op = Requirement::Op::kIn;
  } else if (name == "NotIn") {
    requirement.op = Requirement::Op::kNotIn;
  } else if (name == "Exists") {
    requirement.op = Requirement::Op::kExists;
  } else if (name == "DoesNotExist") {
    requirement.op = Requirement::Op::kNotExists;
  } else {
    return Error(Code::kInvalid, cat(quote(name), " is not a valid label selector operator"));
  }
  if (values != nullptr && values->is_array()) {
    for (const json::Value& value : values->as_array()) requirement.values.emplace_back(value.string_or());
  }
  return requirement;
}

// --- matching and printing ---

const std::string* find_label(const LabelPairs& labels, const std::string& key) {
  const auto at = std::lower_bound(labels.begin(), labels.end(), key,
                                   [](const auto& pair, const std::string& k) { return pair.first < k; });
  return at != labels.end() && at->first == key ? &at->second : nullptr;
}

bool holds(const Requirement& requirement, const LabelPairs& labels) {
  const std::string* value = find_label(labels, requirement.key);
  const auto listed = [&] {
    return std::find(requirement.values.begin(), requirement.values.end(), *value) != requirement.values.end();
  };
  switch (requirement.op) {
    case Requirement::Op::kIn:
      return value != nullptr && listed();
    case Requirement::Op::kNotIn:
      return value == nullptr || !listed();
    case Requirement::Op::kExists:
      return value != nullptr;
    case Requirement::Op::kNotExists:
      return value == nullptr;
    case Requirement::Op::kGreater:
    case Requirement::Op::kLess: {
      std::int64_t have = 0, limit = 0;
      if (value == nullptr || !parse_int64(*value, &have)) return false;
      if (requirement.values.size() != 1 || !parse_int64(requirement.values.front(), &limit)) return false;
      return requirement.op == Requirement::Op::kGreater ? have > limit : have < limit;
    }
  }
  return false;
}

std::string printed(const Requirement& requirement) {
  const std::string& key = requirement.key;
  std::vector<std::string> values = requirement.values;
  std::sort(values.begin(), values.end());
  const std::string list = join(values, ",");
  switch (requirement.op) {
    case Requirement::Op::kIn:
      return requirement.equality ? cat(key, "=", list) : cat(key, " in (", list, ")");
    case Requirement::Op::kNotIn:
      return requirement.equality ? cat(key, "!=", list) : cat(key, " notin (", list, ")");
    case Requirement::Op::kExists:
      return key;
    case Requirement::Op::kNotExists:
      return cat("!", key);
    case Requirement::Op::kGreater:
      return cat(key, ">", list);
    case Requirement::Op::kLess:
      return cat(key, "<", list);
  }
  return "";
}

Requirement equality(std::string_view key, std::string_view value) {
  Requirement requirement;
  requirement.key = key;
  requirement.values.emplace_back(value);
  requirement.equality = true;
  return requirement;
}

}  // namespace

LabelSelector LabelSelector::nothing() {
  LabelSelector selector;
  selector.nothing_ = true;
  return selector;
}

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  if (text.size() > kMaxSelectorBytes) return bad_request("the label selector is longer than 64 KiB");
  Result<std::vector<Requirement>> requirements = Parser(text).parse();
  if (!requirements) return requirements.error();
  LabelSelector selector;
  selector.requirements_ = std::move(*requirements);
  sort_by_key(selector.requirements_);
  return selector;
}

Result<LabelSelector> LabelSelector::from_object(const json::Value* object) {
  if (object == nullptr || !object->is_object()) return nothing();
  LabelSelector selector;
  const json::Value* labels = object->find("matchLabels");
  if (labels != nullptr && labels->is_object()) {
    for (const auto& [key, value] : labels->as_object()) selector.add(equality(key, value.string_or()));
  }
  const json::Value* expressions = object->find("matchExpressions");
  if (expressions != nullptr && expressions->is_array()) {
    for (const json::Value& item : expressions->as_array()) {
      Result<Requirement> requirement = expression_requirement(item);
      if (!requirement) return requirement.error();
      selector.add(std::move(*requirement));
    }
  }
  for (const Requirement& requirement : selector.requirements_) {
    std::string problem = requirement_problem(requirement);
    if (!problem.empty()) return Error(Code::kInvalid, std::move(problem));
  }
  sort_by_key(selector.requirements_);
  return selector;
}

LabelSelector LabelSelector::equals(const LabelPairs& labels) {
  LabelSelector selector;
  for (const auto& [key, value] : labels) selector.add(equality(key, value));
  return selector;
}

bool LabelSelector::matches(const LabelPairs& labels) const {
  return !nothing_ && std::all_of(requirements_.begin(), requirements_.end(),
                                  [&](const Requirement& requirement) { return holds(requirement, labels); });
}

std::string LabelSelector::to_string() const {
  std::vector<std::string> parts;
  for (const Requirement& requirement : requirements_) parts.push_back(printed(requirement));
  return join(parts, ",");
}

// --- fields ---

namespace {

// The parts between commas that no backslash escapes.
std::vector<std::string_view> field_terms(std::string_view text) {
  std::vector<std::string_view> terms;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == ',') {
      terms.push_back(text.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  terms.push_back(text.substr(begin));
  return terms;
}

Result<std::string> unescaped(std::string_view text) {
  std::string value;
  while (!text.empty()) {
    const char c = text.front();
    if (c == ',' || c == '=') {
      // Upstream prints the character's number.
      return bad_request(cat("invalid field selector: unescaped character in value: ", static_cast<int>(c)));
    }
    if (c != '\\') {
      value += c;
      text.remove_prefix(1);
      continue;
    }
    text.remove_prefix(1);
    const bool known = !text.empty() && std::string_view("\\,=").find(text.front()) != std::string_view::npos;
    if (!known) {
      const std::string_view sequence = text.substr(0, next_code_point(text).size);
      return bad_request(cat("invalid field selector: invalid escape sequence: \\", sequence));
    }
    value += text.front();
    text.remove_prefix(1);
  }
  return value;
}

}  // namespace

Result<FieldSelector> FieldSelector::parse(std::string_view text) {
  if (text.size() > kMaxSelectorBytes) return bad_request("the field selector is longer than 64 KiB");
  FieldSelector selector;
  std::vector<std::string_view> parts = field_terms(text);
  std::sort(parts.begin(), parts.end());
  for (const std::string_view part : parts) {
    if (part.empty()) continue;
    std::size_t place = part.find('=');
    if (place == std::string_view::npos) {
      return bad_request(cat("invalid selector: '", text, "'; can't understand '", part, "'"));
    }
    Term term;
    std::size_t value_begin = place + 1;
    if (place > 0 && part[place - 1] == '!') {
      term.equal = false;
      --place;
    } else if (part.substr(value_begin).starts_with('=')) {
      ++value_begin;
    }
    term.field = part.substr(0, place);
    Result<std::string> value = unescaped(part.substr(value_begin));
    if (!value) return value.error();
    term.value = std::move(*value);
    selector.terms_.push_back(std::move(term));
  }
  return selector;
}

FieldSelector FieldSelector::equals(std::string field, std::string value) {
  FieldSelector selector;
  selector.terms_.push_back(Term{std::move(field), std::move(value), true});
  return selector;
}

bool FieldSelector::matches(const std::vector<std::pair<std::string, std::string>>& values) const {
  for (const Term& term : terms_) {
    const auto at =
        std::find_if(values.begin(), values.end(), [&](const auto& pair) { return pair.first == term.field; });
    const bool same = at == values.end() ? term.value.empty() : at->second == term.value;
    if (same != term.equal) return false;
  }
  return true;
}

}  // namespace kayak::api
