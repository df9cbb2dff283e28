// selector.cc: see selector.h. The query grammar by a small lexer, as upstream's error texts name tokens.
#include "api/selector.h"

#include <algorithm>
#include <cstdint>

#include "base/strings.h"

namespace kayak::api {

namespace {

constexpr std::size_t kMaxSelectorBytes = 64 * 1024;

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// Letters, digits, '-', '_', '.'; first and last a letter or digit; at most 63.
bool name_part(std::string_view text) {
  if (text.empty() || text.size() > 63 || !is_alnum(text.front()) || !is_alnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

bool dns_subdomain(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  for (std::string_view label : split(text, '.')) {
    if (label.empty() || label.front() == '-' || label.back() == '-') return false;
    const bool ok = std::all_of(label.begin(), label.end(),
                                [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
    if (!ok) return false;
  }
  return true;
}

constexpr std::string_view kNameRule =
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
constexpr std::string_view kValueRule =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

// "" or why `key` is no label key.
std::string key_problem(std::string_view key) {
  const std::size_t slash = key.find('/');
  const std::string_view prefix = slash == std::string_view::npos ? std::string_view() : key.substr(0, slash);
  const std::string_view name = slash == std::string_view::npos ? key : key.substr(slash + 1);
  if (slash != std::string_view::npos && prefix.empty()) return "prefix part must be non-empty";
  if (slash != std::string_view::npos && !dns_subdomain(prefix)) {
    return "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
           "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
           "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
  }
  if (name.empty()) return cat("name part must be non-empty; ", kNameRule);
  if (name.size() > 63) return "name part must be no more than 63 characters";
  return name_part(name) ? "" : std::string(kNameRule);
}

std::string value_problem(std::string_view value) {
  if (value.empty()) return "";
  if (value.size() > 63) return "must be no more than 63 characters";
  return name_part(value) ? "" : std::string(kValueRule);
}

struct Token {
  enum class Type : std::uint8_t {
    kEnd,
    kText,
    kComma,
    kOpen,
    kClose,
    kEquals,
    kDoubleEquals,
    kNotEquals,
    kNot,
    kIn,
    kNotIn,
    kGreater,
    kLess
  };
  Type type = Type::kEnd;
  std::string_view text;
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}
  const Token& peek() {
    if (!ahead_) next_ = read(), ahead_ = true;
    return next_;
  }
  Token take() {
    const Token token = peek();
    ahead_ = false;
    return token;
  }

 private:
  Token read() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r' || text_[at_] == '\n'))
      ++at_;
    if (at_ >= text_.size()) return Token{};
    const std::size_t start = at_;
    auto made = [&](Token::Type type, std::size_t length) {
      at_ = start + length;
      return Token{type, text_.substr(start, length)};
    };
    const std::string_view rest = text_.substr(at_);
    if (rest.substr(0, 2) == "==") return made(Token::Type::kDoubleEquals, 2);
    if (rest.substr(0, 2) == "!=") return made(Token::Type::kNotEquals, 2);
    switch (rest.front()) {
      case ',':
        return made(Token::Type::kComma, 1);
      case '(':
        return made(Token::Type::kOpen, 1);
      case ')':
        return made(Token::Type::kClose, 1);
      case '=':
        return made(Token::Type::kEquals, 1);
      case '!':
        return made(Token::Type::kNot, 1);
      case '>':
        return made(Token::Type::kGreater, 1);
      case '<':
        return made(Token::Type::kLess, 1);
      default:
        break;
    }
    std::size_t end = rest.find_first_of(" \t\r\n,()=!><");
    if (end == std::string_view::npos) end = rest.size();
    const std::string_view word = rest.substr(0, end);
    return made(word == "in" ? Token::Type::kIn : word == "notin" ? Token::Type::kNotIn : Token::Type::kText, end);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  Token next_;
  bool ahead_ = false;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text) {}

  Result<std::vector<Requirement>> parse() {
    std::vector<Requirement> requirements;
    if (lexer_.peek().type == Token::Type::kEnd) return requirements;
    for (;;) {
      Result<Requirement> one = requirement();
      if (!one) return one.error();
      requirements.push_back(std::move(*one));
      const Token token = lexer_.take();
      if (token.type == Token::Type::kEnd) return requirements;
      if (token.type != Token::Type::kComma)
        return fail(cat("found '", token.text, "', expected: ',' or 'end of string'"));
      if (lexer_.peek().type == Token::Type::kEnd) return fail("found '', expected: identifier after ','");
    }
  }

 private:
  static Error fail(std::string why) { return Error(Code::kBadRequest, std::move(why)); }
  static bool is_word(const Token& token) {
    return token.type == Token::Type::kText || token.type == Token::Type::kIn || token.type == Token::Type::kNotIn;
  }

  Result<Requirement> requirement() {
    Requirement made;
    Token token = lexer_.take();
    if (token.type == Token::Type::kNot) {
      made.op = Requirement::Op::kNotExists;
      token = lexer_.take();
    }
    if (!is_word(token)) return fail(cat("found '", token.text, "', expected: identifier"));
    made.key = std::string(token.text);
    if (std::string problem = key_problem(made.key); !problem.empty()) {
      return fail(cat("key: Invalid value: ", quote(made.key), ": ", problem));
    }
    if (made.op == Requirement::Op::kNotExists) return made;
    const Token op = lexer_.peek();
    if (op.type == Token::Type::kEnd || op.type == Token::Type::kComma) {
      made.op = Requirement::Op::kExists;
      return made;
    }
    lexer_.take();
    switch (op.type) {
      case Token::Type::kEquals:
      case Token::Type::kDoubleEquals:
        made.op = Requirement::Op::kIn;
        return exact(std::move(made));
      case Token::Type::kNotEquals:
        made.op = Requirement::Op::kNotIn;
        return exact(std::move(made));
      case Token::Type::kGreater:
        made.op = Requirement::Op::kGreater;
        return number(std::move(made));
      case Token::Type::kLess:
        made.op = Requirement::Op::kLess;
        return number(std::move(made));
      case Token::Type::kIn:
        made.op = Requirement::Op::kIn;
        return set(std::move(made));
      case Token::Type::kNotIn:
        made.op = Requirement::Op::kNotIn;
        return set(std::move(made));
      default:
        return fail(cat("found '", op.text, "', expected: in, notin, =, ==, !=, gt, lt"));
    }
  }

  Result<Requirement> add_value(Requirement made, std::string_view value) {
    if (std::string problem = value_problem(value); !problem.empty()) {
      return fail(
          cat("values[", made.values.size(), "][", made.key, "]: Invalid value: ", quote(value), ": ", problem));
    }
    made.values.emplace_back(value);
    return made;
  }

  Result<Requirement> exact(Requirement made) {
    if (!is_word(lexer_.peek())) {
      // "a=" and "a=,b": the empty value.
      const Token::Type next = lexer_.peek().type;
      if (next == Token::Type::kEnd || next == Token::Type::kComma) return add_value(std::move(made), "");
      return fail(cat("found '", lexer_.peek().text, "', expected: identifier"));
    }
    return add_value(std::move(made), lexer_.take().text);
  }

  Result<Requirement> number(Requirement made) {
    const Token token = lexer_.take();
    std::int64_t value = 0;
    if (!is_word(token) || !parse_int64(token.text, &value)) {
      return fail(cat("values[0]: Invalid value: ", quote(token.text),
                      ": for 'Gt', 'Lt' operators, the value must be an integer"));
    }
    made.values.emplace_back(token.text);
    return made;
  }

  Result<Requirement> set(Requirement made) {
    Token token = lexer_.take();
    if (token.type != Token::Type::kOpen) return fail(cat("found '", token.text, "' expected: '('"));
    for (;;) {
      std::string_view value;
      if (is_word(lexer_.peek())) value = lexer_.take().text;
      Result<Requirement> added = add_value(std::move(made), value);
      if (!added) return added;
      made = std::move(*added);
      token = lexer_.take();
      if (token.type == Token::Type::kClose) break;
      if (token.type != Token::Type::kComma) return fail(cat("found '", token.text, "', expected: ',' or ')'"));
    }
    std::sort(made.values.begin(), made.values.end());
    made.values.erase(std::unique(made.values.begin(), made.values.end()), made.values.end());
    return made;
  }

  Lexer lexer_;
};

const std::string* find_label(const LabelPairs& labels, const std::string& key) {
  const auto at = std::lower_bound(labels.begin(), labels.end(), key,
                                   [](const auto& pair, const std::string& k) { return pair.first < k; });
  return at != labels.end() && at->first == key ? &at->second : nullptr;
}

bool holds(const Requirement& r, const LabelPairs& labels) {
  const std::string* value = find_label(labels, r.key);
  auto listed = [&] { return std::find(r.values.begin(), r.values.end(), *value) != r.values.end(); };
  switch (r.op) {
    case Requirement::Op::kIn:
      return value && listed();
    case Requirement::Op::kNotIn:
      return !value || !listed();
    case Requirement::Op::kExists:
      return value != nullptr;
    case Requirement::Op::kNotExists:
      return value == nullptr;
    case Requirement::Op::kGreater:
    case Requirement::Op::kLess: {
      std::int64_t have = 0, limit = 0;
      if (!value || !parse_int64(*value, &have) || r.values.empty() || !parse_int64(r.values.front(), &limit))
        return false;
      return r.op == Requirement::Op::kGreater ? have > limit : have < limit;
    }
  }
  return false;
}

Error invalid(std::string message) { return Error(Code::kInvalid, std::move(message)); }

Result<Requirement> expression(const json::Value& value) {
  Requirement made;
  const json::Value* key = value.find("key");
  const json::Value* op = value.find("operator");
  made.key = std::string(key ? key->string_or() : "");
  if (std::string problem = key_problem(made.key); !problem.empty()) {
    return invalid(cat("key: Invalid value: ", quote(made.key), ": ", problem));
  }
  const std::string_view name = op ? op->string_or() : "";
  const json::Value* values = value.find("values");
  for (const json::Value& item : values && values->is_array() ? values->as_array() : json::Array()) {
    made.values.emplace_back(item.string_or());
    if (std::string problem = value_problem(made.values.back()); !problem.empty()) {
      return invalid(cat("values[", made.values.size() - 1, "][", made.key,
                         "]: Invalid value: ", quote(made.values.back()), ": ", problem));
    }
  }
  if (name == "In" || name == "NotIn") {
    if (made.values.empty())
      return invalid("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty");
    made.op = name == "In" ? Requirement::Op::kIn : Requirement::Op::kNotIn;
    std::sort(made.values.begin(), made.values.end());
  } else if (name == "Exists" || name == "DoesNotExist") {
    if (!made.values.empty())
      return invalid("values: Invalid value: values set must be empty for exists and does not exist");
    made.op = name == "Exists" ? Requirement::Op::kExists : Requirement::Op::kNotExists;
  } else {
    return invalid(cat(quote(name), " is not a valid label selector operator"));
  }
  return made;
}

std::string requirement_text(const Requirement& r) {
  switch (r.op) {
    case Requirement::Op::kExists:
      return r.key;
    case Requirement::Op::kNotExists:
      return cat("!", r.key);
    case Requirement::Op::kGreater:
      return cat(r.key, ">", r.values.empty() ? "" : r.values.front());
    case Requirement::Op::kLess:
      return cat(r.key, "<", r.values.empty() ? "" : r.values.front());
    case Requirement::Op::kIn:
    case Requirement::Op::kNotIn:
      break;
  }
  return cat(r.key, r.op == Requirement::Op::kIn ? " in (" : " notin (", join(r.values, ","), ")");
}

}  // namespace

LabelSelector LabelSelector::nothing() {
  LabelSelector selector;
  selector.nothing_ = true;
  return selector;
}

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  LabelSelector selector;
  if (text.size() > kMaxSelectorBytes)
    return Error(Code::kBadRequest, "unable to parse requirement: the selector is longer than 64 KiB");
  Result<std::vector<Requirement>> requirements = Parser(text).parse();
  if (!requirements) return requirements.error().while_doing("unable to parse requirement");
  // `a=b` and `a in (b)` mean the same and print differently: one value printed as `a=b`.
  std::stable_sort(requirements->begin(), requirements->end(),
                   [](const Requirement& a, const Requirement& b) { return a.key < b.key; });
  selector.requirements_ = std::move(*requirements);
  return selector;
}

Result<LabelSelector> LabelSelector::from_object(const json::Value* object) {
  if (!object || !object->is_object()) return nothing();
  LabelSelector selector;
  const json::Value* labels = object->find("matchLabels");
  if (labels && labels->is_object()) {
    for (const auto& [key, value] : labels->as_object()) {
      Requirement made;
      made.key = key;
      made.values = {std::string(value.string_or())};
      if (std::string problem = key_problem(key); !problem.empty())
        return invalid(cat("key: Invalid value: ", quote(key), ": ", problem));
      if (std::string problem = value_problem(made.values.front()); !problem.empty()) {
        return invalid(cat("values[0][", key, "]: Invalid value: ", quote(made.values.front()), ": ", problem));
      }
      selector.requirements_.push_back(std::move(made));
    }
  }
  const json::Value* expressions = object->find("matchExpressions");
  for (const json::Value& item : expressions && expressions->is_array() ? expressions->as_array() : json::Array()) {
    Result<Requirement> made = expression(item);
    if (!made) return made.error();
    selector.requirements_.push_back(std::move(*made));
  }
  std::stable_sort(selector.requirements_.begin(), selector.requirements_.end(),
                   [](const Requirement& a, const Requirement& b) { return a.key < b.key; });
  return selector;
}

LabelSelector LabelSelector::equals(const LabelPairs& labels) {
  LabelSelector selector;
  for (const auto& [key, value] : labels) {
    Requirement made;
    made.key = key;
    made.values = {value};
    selector.requirements_.push_back(std::move(made));
  }
  return selector;
}

bool LabelSelector::matches(const LabelPairs& labels) const {
  if (nothing_) return false;
  return std::all_of(requirements_.begin(), requirements_.end(),
                     [&](const Requirement& r) { return holds(r, labels); });
}

std::string LabelSelector::to_string() const {
  std::vector<std::string> parts;
  for (const Requirement& r : requirements_) {
    const bool one = r.values.size() == 1;
    if (one && r.op == Requirement::Op::kIn) {
      parts.push_back(cat(r.key, "=", r.values.front()));
    } else if (one && r.op == Requirement::Op::kNotIn) {
      parts.push_back(cat(r.key, "!=", r.values.front()));
    } else {
      parts.push_back(requirement_text(r));
    }
  }
  return join(parts, ",");
}

// ---- fields. Source: apimachinery fields.ParseSelector: terms by ',', operators =, ==, !=, backslash escapes.

Result<FieldSelector> FieldSelector::parse(std::string_view text) {
  FieldSelector selector;
  if (text.size() > kMaxSelectorBytes) return Error(Code::kBadRequest, "invalid field selector: longer than 64 KiB");
  std::string field, value;
  bool in_value = false, equal = true, any = false;
  auto finish = [&]() -> bool {
    if (!any) return true;  // an empty term
    if (!in_value) return false;
    selector.terms_.push_back(Term{std::string(trim(field)), value, equal});
    field.clear();
    value.clear();
    in_value = any = false;
    return true;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ',') {
      if (!finish())
        return Error(Code::kBadRequest, cat("invalid selector: '", text, "'; can't understand '", field, "'"));
      continue;
    }
    any = true;
    if (!in_value) {
      if (c == '!' && text.substr(i, 2) == "!=") {
        equal = false, in_value = true, ++i;
      } else if (c == '=') {
        equal = true, in_value = true;
        if (text.substr(i, 2) == "==") ++i;
      } else {
        field += c;
      }
      continue;
    }
    if (c == '\\') {
      if (i + 1 >= text.size() || (text[i + 1] != '\\' && text[i + 1] != ',' && text[i + 1] != '=')) {
        return Error(Code::kBadRequest, "invalid field selector: invalid escape sequence");
      }
      value += text[++i];
    } else if (c == '=') {
      return Error(Code::kBadRequest, cat("invalid field selector: unescaped character in value: '='"));
    } else {
      value += c;
    }
  }
  if (!finish()) return Error(Code::kBadRequest, cat("invalid selector: '", text, "'; can't understand '", field, "'"));
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
    const bool same = (at == values.end() ? std::string() : at->second) == term.value;
    if (same != term.equal) return false;
  }
  return true;
}

}  // namespace kayak::api
